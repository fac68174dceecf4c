// node/log_storage.h
//
// LogStorage is the tail of the log that raft reads, in memory: what is not applied yet, and behind
// it what followers that lag a little may still ask for. The log on disk has the same and more.
// The membership in it is the backend's: etcd, too, takes the configuration from the applied state
// and not from the log's marks.
//
// Threads: before the lanes start the caller's, then the consensus lane only. What entries() hands
//   out may be read from any thread.
// Bounds: trim() holds what is applied within Keep, in entries and in bytes, to within a factor of
//   two. What is not applied has no bound here: LogDebt and the gateways hold it.

#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>

#include "raft/memory_storage.h"

namespace keelson::node {

// What an entry counts in memory and, to within a few bytes, in the log.
inline uint64_t size_of(const raft::Entry& entry) {
  return entry.data.size() + sizeof(raft::Entry);
}

class LogStorage final : public raft::Storage {
 public:
  // Of the applied entries; the tighter of the two counts.
  struct Keep {
    uint64_t entries = 5000;
    uint64_t bytes = 64 << 20;
  };

  absl::StatusOr<InitialState> initial_state() override;
  absl::StatusOr<raft::Entries> entries(Index lo, Index hi, uint64_t max_size) override {
    return log_.entries(lo, hi, max_size);
  }
  absl::StatusOr<Term> term(Index index) override { return log_.term(index); }
  absl::StatusOr<Index> first_index() override { return first(); }
  absl::StatusOr<Index> last_index() override { return last(); }
  // Names what is applied: whoever sends it takes the state as it is then, which may be newer.
  absl::StatusOr<raft::SnapshotPtr> snapshot() override;

  void set_conf_state(raft::ConfState conf) { conf_ = std::move(conf); }
  void set_hard_state(const raft::HardState& state) { log_.set_hard_state(state); }
  // The log begins behind `index`. REQUIRES: nothing was appended yet, and index > 0.
  absl::Status start_behind(Index index, Term term);
  // What snapshot() names; nothing: there is no state to be sent just now.
  using Applied = std::function<std::optional<raft::SnapshotMetadata>()>;
  void set_applied(Applied applied) { applied_ = std::move(applied); }
  // Forgets everything: the log begins behind `index`, where a snapshot stands for it.
  absl::Status start_over(Index index, Term term, raft::ConfState conf);
  // Replaces everything from the first one's index on. REQUIRES: no gap after last().
  void append(const raft::Entries& entries);
  // Forgets applied entries, oldest first, once they are twice what is to be kept.
  // REQUIRES: applied <= last().
  void trim(Index applied, Keep keep);

  Index first() const { return behind_ + 1; }
  Index last() const { return behind_ + ends_.size(); }
  // Of all entries held.
  uint64_t bytes() const { return ends_.empty() ? 0 : ends_.back() - forgotten_; }

 private:
  uint64_t end_of(Index index) const;
  void check_invariants();

  raft::MemoryStorage log_;
  raft::ConfState conf_;
  Applied applied_;
  // The entry before the first one held; behind_ + 1 == log_.first_index().
  Index behind_;
  // ends_[i] is the sum of the sizes up to the entry behind_ + 1 + i, counted from the beginning of
  // time: it only grows along the log, and forgotten_, the same sum at behind_, is at most the
  // first of them.
  std::deque<uint64_t> ends_;
  uint64_t forgotten_ = 0;
};

}  // namespace keelson::node
