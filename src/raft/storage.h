// raft/storage.h
//
// Storage: where raft reads the stable part of its log. The driver writes it (after a Ready), raft
// only reads. MemoryStorage (raft/memory_storage.h) is one.
//
// Threads: called from the lane that owns the RawNode only.
// Errors, by code (no text needed, so that the common ones cost nothing):
//   OutOfRange   the index was compacted away
//   NotFound     the index is past the last entry
//   Unavailable  snapshot() only: not ready now, ask again later
//   others       the disk betrayed us; raft reports it through Logger::panic

#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "raft/types.h"

namespace keelson::raft {

class Storage {
 public:
  virtual ~Storage() = default;

  struct InitialState {
    HardState hard_state;  // empty: nothing persisted yet
    ConfState conf_state;
  };
  virtual absl::StatusOr<InitialState> initial_state() = 0;

  // Entries [lo, hi), as many from lo as fit in `max_size` encoded bytes, at least one.
  // REQUIRES: lo < hi <= last_index() + 1.
  virtual absl::StatusOr<Entries> entries(Index lo, Index hi, uint64_t max_size) = 0;

  // The term of the entry at `index`, known for first_index() - 1 <= index <= last_index().
  virtual absl::StatusOr<Term> term(Index index) = 0;

  virtual absl::StatusOr<Index> first_index() = 0;
  virtual absl::StatusOr<Index> last_index() = 0;

  // The newest snapshot; never null.
  virtual absl::StatusOr<SnapshotPtr> snapshot() = 0;
};

// etcd's texts for the same conditions.
absl::Status compacted_error();
absl::Status unavailable_error();
absl::Status snapshot_out_of_date_error();
absl::Status snapshot_temporarily_unavailable_error();

}  // namespace keelson::raft
