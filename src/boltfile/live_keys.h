// boltfile/live_keys.h
//
// LiveKeys counts the users' keys that are alive after all records of a key bucket, without keeping
// them. As etcd writes the records, a key is born with version 1 and dies with a tombstone, and of
// what is at or before a finished compaction there is one record for each key that lived then. Only
// where a compaction was not finished there may be more: those keys are told apart by 64-bit sums,
// in as many further walks as the bound on memory makes necessary (two keys of ten million have the
// same sum once in several hundred thousand files).
//
// Threads: a value. Memory: nothing, or that bound.
// Source: etcd v3.7.1, server/storage/mvcc/key_index.go, kvstore_compaction.go.

#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "boltfile/etcd_keys.h"
#include "boltfile/etcd_state.h"

namespace keelson::boltfile {

class LiveKeys {
 public:
  static constexpr size_t kMostSums = size_t{2} << 20;

  explicit LiveKeys(const EtcdMeta& meta)
      : compacted_(meta.compact_revision()), complete_(meta.compaction_complete()) {}

  // All of them, in order.
  void take(const EtcdRecord& record);
  // Of `file`, whose records were taken. About `most` sums at a time.
  absl::StatusOr<uint64_t> count(File& file, size_t most = kMostSums) const;

 private:
  const int64_t compacted_;  // -1: never
  const bool complete_;
  int64_t born_ = 0;     // that count() does not look for
  bool bumped_ = false;  // by a restore, whose record etcd takes for a key without a name
};

}  // namespace keelson::boltfile
