// apply/request_text.h
//
// What a log line says of a request, as etcd v3.7.1 cuts it: keys, options and sizes, never a
// value, a password or a token (source: api/etcdserverpb/raft_internal_stringer.go). Of an
// authentication etcd prints the simple token as well; we do not.
//
// Threads: pure functions. They decode, so they are for what is said, not for every request.
// Stack: they go as deep as the text has room, which is a few hundred transactions in one another.
// Bounds: kMostText for each text, where etcd knows none.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/parts.h"
#include "wire/internal_request.h"

namespace keelson::apply {

inline constexpr size_t kMostText = 16 << 10;

// Of a client's request that decodes: kRange, kPut, kDeleteRange and kTxn; empty for other kinds.
std::string request_text(wire::InternalKind kind, std::string_view request,
                         size_t limit = kMostText);

// Of an entry of the log.
std::string entry_text(std::string_view payload);

// What etcd's line "request stats" counts.
struct RequestStats {
  // -1 all of them: nothing is said of this sort of request.
  int64_t request_count = -1;
  int64_t request_size = -1;
  int64_t response_count = -1;
  int64_t response_size = -1;
  std::string content = {};
};
// `request`: as for request_text, or empty where no more is known than its `size`; of a transaction
// that is told then in place of its operations'. `response`: the whole message; null: there was
// none.
RequestStats request_stats(wire::InternalKind kind, std::string_view request, size_t size,
                           const Parts* response);

}  // namespace keelson::apply
