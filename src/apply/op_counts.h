// apply/op_counts.h
//
// How often keys were read, put and deleted, counted as etcd's metrics count (source: etcd v3.7.1,
// server/storage/mvcc/metrics_txn.go): every operation on the store, the reads that compares,
// prev_kv and ignore_* need included; a transaction counts when it did more than one.
//
// Threads: one OpCounts per writing lane; any thread may read it.

#pragma once

#include <cstdint>

#include "base/check.h"
#include "base/tally.h"

namespace keelson::apply {

// What one transaction of the store did. put_bytes > 0 only with puts > 0.
struct TxnOps {
  uint64_t ranges = 0;
  uint64_t puts = 0;
  uint64_t deletes = 0;
  uint64_t put_bytes = 0;  // of keys and values
};

struct OpCounts {
  void add(const TxnOps& ops) {
    CHECK(ops.puts > 0 || ops.put_bytes == 0);
    if (ops.ranges > 0) ranges.add(ops.ranges);
    if (ops.puts > 0) puts.add(ops.puts);
    if (ops.deletes > 0) deletes.add(ops.deletes);
    if (ops.put_bytes > 0) put_bytes.add(ops.put_bytes);
    if (ops.ranges + ops.puts + ops.deletes > 1) ++txns;
  }

  Tally ranges, puts, deletes, txns, put_bytes;
};

}  // namespace keelson::apply
