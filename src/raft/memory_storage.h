// raft/memory_storage.h
//
// MemoryStorage: a Storage that holds the log, its hard state and one snapshot in memory. Tests,
// simulation and benchmarks use it, and drivers that keep the tail of a log on disk in memory.
//
// Threads: one caller at a time. What entries() hands out may be read from any thread.

#pragma once

#include "raft/entry_buffer.h"
#include "raft/storage.h"

namespace keelson::raft {

class MemoryStorage : public Storage {
 public:
  MemoryStorage();

  absl::StatusOr<InitialState> initial_state() override;
  absl::StatusOr<Entries> entries(Index lo, Index hi, uint64_t max_size) override;
  absl::StatusOr<Term> term(Index index) override;
  absl::StatusOr<Index> first_index() override;
  absl::StatusOr<Index> last_index() override;
  absl::StatusOr<SnapshotPtr> snapshot() override;

  void set_hard_state(const HardState& state) { hard_state_ = state; }

  // Appends `entries`, replacing everything from the first one's index on. Entries already
  // compacted are skipped. REQUIRES: no gap after last_index().
  void append(const Entries& entries);

  // Replaces log and snapshot. FailedPrecondition (snapshot_out_of_date_error) if it is not newer.
  absl::Status apply_snapshot(const SnapshotPtr& snapshot);

  // Makes snapshot() answer the state at `index`. REQUIRES: index <= last_index().
  absl::StatusOr<SnapshotPtr> create_snapshot(Index index, const ConfState* conf_state, Bytes data);

  // Forgets the entries up to and including `index`; its term stays known. compacted_error() if
  // they are gone already. REQUIRES: index <= last_index().
  absl::Status compact(Index index);

 private:
  Index last() const { return dummy_index_ + log_.size(); }

  HardState hard_state_;
  SnapshotPtr snapshot_;
  // The entry before the first we hold. Invariant: log_[i].index == dummy_index_ + 1 + i.
  Index dummy_index_;
  Term dummy_term_;
  EntryBuffer log_;
};

}  // namespace keelson::raft
