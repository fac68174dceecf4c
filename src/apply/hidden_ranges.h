// apply/hidden_ranges.h
//
// The ranges of a transaction for which it may be refused, each hidden in a transaction of its own
// within it, for clusters with members of etcd 3.5 or 3.6. Those that were not asked leave ranges
// out of a transaction before they look whether it is refused, but not out of transactions within
// it: so what is refused for a range is refused by all of them. The effect is the same; the answer
// says that there were more transactions, and is unfolded where it is made (Applier::apply()).
//
// A range of the present revision that anybody may read is never refused, and stays: who reads the
// log finds it where it was asked for (etcd's robustness suite knows no transactions within
// others).
//
// A transaction that looks as if it hid a range is hidden, too. So what looks like it is one level
// too deep, whoever made it, and nothing else is.
//
// Errors: too_deep() (apply/decode.h), what could not be read back from the log any more.
// Source: etcd v3.5.30, server/etcdserver/apply.go (removeNeedlessRangeReqs).
// Threads: pure functions.

#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "proto/rpc.pb.h"

namespace keelson::apply {

// Whether `op` holds nothing but one range, below one transaction or several.
bool looks_hidden(const etcdserverpb::RequestOp& op);
// Why a range may be refused: for its revision, which may be compacted or yet to come; or, where
// somebody's rights count, for its keys, too.
enum class Refusable : uint8_t { kForRevision, kForKeys };
// Those of both branches of what decode() has taken; not those of transactions within it. False:
// there are none, and nothing has changed. After an error the transaction is good for nothing.
absl::StatusOr<bool> hide_ranges(etcdserverpb::TxnRequest& txn, Refusable ranges);

}  // namespace keelson::apply
