// rpc/as_caller.h
//
// What a service that is built on the others (Lock, Election) asks of KV and Lease on behalf of its
// caller: with the caller's rights, and with the checks, quotas and counts of a client's own
// request.
//
// Threads: on the call's loop; `done` too, once, but for a read whose call is over: that is never
//   answered.
// Errors: as those services answer them; client_error() makes of one what etcd's Lock and Election
//   say, where errors lose their gRPC code on the way.

#pragma once

#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "mvcc/store.h"
#include "rpc/context.h"

namespace keelson::rpc {

template <typename Value>
using CallerDone = absl::AnyInvocable<void(absl::StatusOr<Value>)>;

// The same text with code Unknown.
absl::Status client_error(const absl::Status& status);

struct TxnAnswer {
  int64_t revision = 0;  // for the header
  etcdserverpb::TxnResponse response;
};

// REQUIRES: a transaction that may write.
void txn_as_caller(Context& context, net::CallRef call, const etcdserverpb::TxnRequest& txn,
                   CallerDone<TxnAnswer> done);

// `done` gets the id.
void grant_as_caller(Context& context, net::CallRef call, int64_t ttl_seconds,
                     CallerDone<int64_t> done);

struct CallerRange {
  std::string key, end;  // as a RangeRequest's
  mvcc::RangeOptions options{};
  bool linearizable = false;  // else: what this member has
};
void range_as_caller(Context& context, net::CallRef call, CallerRange range,
                     CallerDone<mvcc::RangeResult> done);

// All keys that begin with `prefix`. REQUIRES: `prefix` ends in '/'.
CallerRange below(std::string prefix);
// Of those, the first that was created: who holds a lock, or leads. Linearizable.
CallerRange first_below(std::string prefix);

}  // namespace keelson::rpc
