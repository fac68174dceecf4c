// apply/txn.h
//
// Transactions: compares decide the branch of every level first, then all operations are checked
// against the state before, then they run. After the check nothing is refused any more, so a
// transaction with writes is done whole, or this member cannot go on.
// Source of the order: etcd v3.7.1, server/etcdserver/txn/txn.go.
//
// Threads: the reading forms run on any lane with a view of their own, the writing form on the
//   apply lane.
// Errors: those of the reading forms are for the client, also where this member's store fails.

#pragma once

#include <atomic>

#include "absl/status/statusor.h"
#include "apply/op_counts.h"
#include "apply/reply.h"
#include "lease/lease_table.h"
#include "mvcc/store.h"
#include "proto/rpc.pb.h"

namespace keelson::apply {

mvcc::RangeOptions range_options(const etcdserverpb::RangeRequest& request);

// A range outside a transaction.
absl::StatusOr<Reply> run_range(const mvcc::ReadView& view,
                                const etcdserverpb::RangeRequest& request);

// A transaction that only reads. `ops`: what it did, to be counted.
absl::StatusOr<Reply> run_read_only_txn(const mvcc::ReadView& view,
                                        const etcdserverpb::TxnRequest& request, TxnOps& ops);

// A transaction that may write. `wanted` false: nobody reads the answer, so what only fills it is
// not read; whether the transaction is refused, and what it changes, is the same.
// The Reply's status is the client's. Another one is a failure of this member's store, perhaps half
// way: the member cannot go on. Once `given_up` says so, that is kCancelled, before the next
// operation or the next hundred keys of a compare; null: it never does.
// With `hidden` the request went through hide_ranges(), of which the answer shows nothing.
// The caller attaches leases by txn.lease_changes().
absl::StatusOr<Reply> run_txn(mvcc::WriteTxn& txn, const lease::LeaseTable& leases,
                              const etcdserverpb::TxnRequest& request, bool wanted, bool hidden,
                              OpCounts& counts, const std::atomic<bool>* given_up = nullptr);

}  // namespace keelson::apply
