// rpc/checks.h
//
// What is wrong with a request before it goes anywhere: the checks etcd makes at its gRPC surface,
// in its order and with its errors (source: etcd v3.7.1, server/etcdserver/api/v3rpc/key.go).
//
// Threads: pure functions.

#pragma once

#include "absl/status/status.h"
#include "mvcc/store.h"
#include "proto/rpc.pb.h"

namespace keelson::rpc {

absl::Status check(const etcdserverpb::RangeRequest& request);
// RangeStream refuses what it would have to hold back a whole answer for.
absl::Status check_range_stream(const etcdserverpb::RangeRequest& request);
absl::Status check(const mvcc::PutRequest& request);
absl::Status check(const etcdserverpb::DeleteRangeRequest& request);
// Shape, number of operations (`max_ops` a level, less what the levels above used), of those on
// ranges of keys and of values kept also over all levels together, which etcd does not look at (of
// the two branches of a level both count: twice `max_ops`); and keys that would be changed twice.
absl::Status check(const etcdserverpb::TxnRequest& request, int64_t max_ops);

// True where every operation only reads; such a transaction needs no log entry.
bool is_read_only(const etcdserverpb::TxnRequest& request);
// True where every operation is a serializable range.
bool is_serializable(const etcdserverpb::TxnRequest& request);

}  // namespace keelson::rpc
