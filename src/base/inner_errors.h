// base/inner_errors.h
//
// What etcd calls an error inside, as its log has it: some go by other words there than to clients
// (source: etcd v3.7.1, server/etcdserver/api/v3rpc/util.go; server/auth/store.go,
// server/lease/lessor.go, server/storage/mvcc/kvstore.go, server/etcdserver/errors/errors.go).
//
// Threads: a pure function.

#pragma once

#include <string_view>

#include "absl/status/status.h"

namespace keelson::errors {

// Lives as long as the status. Empty: it is ok.
std::string_view inner_text(const absl::Status& status);

}  // namespace keelson::errors
