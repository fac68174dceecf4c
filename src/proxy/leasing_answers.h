// proxy/leasing_answers.h
//
// What a server would answer about keys that are known: to ranges of one key, and to transactions
// that compare and read nothing else.
//
// Threads: pure functions.
// Source: etcd v3.7.1, server/etcdserver/txn. Its client/v3/leasing compares less exactly.

#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/parts.h"
#include "proto/rpc.pb.h"

namespace keelson::proxy {

// A key's KeyValue as the API has it; empty: there is no such key.
using KnownKey = Bytes;

// One key, as it is now, in no special way.
bool is_plain_read(const etcdserverpb::RangeRequest& request);

// REQUIRES: is_plain_read(). `header` is encoded.
Parts answer_read(const etcdserverpb::RangeRequest& request, std::string_view header,
                  const KnownKey& known);

// Null: it is not known. What it points to is as it is until all is answered.
using FindKey = std::function<const KnownKey*(const std::string& key)>;

// Bytes of all the keys that one transaction may look at here: it may name the same large one as
// often as it likes.
inline constexpr size_t kMostTxnBytes = size_t{1} << 20;

// Nothing: that is for a server to answer.
std::optional<etcdserverpb::TxnResponse> answer_txn(const etcdserverpb::TxnRequest& request,
                                                    int64_t revision, const FindKey& find,
                                                    size_t most_bytes = kMostTxnBytes);

}  // namespace keelson::proxy
