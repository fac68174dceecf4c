// raft/log.h
//
// Log: the whole log as raft sees it: what storage holds, then the unstable tail, with the marks of
// what is committed and applied.
//
// Threads: the node's lane.
// Errors: a storage that fails or contradicts itself is reported through Lines::panic. If that
//   returns, the call answers as if the entries did not exist.

#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "raft/lines.h"
#include "raft/storage.h"
#include "raft/unstable.h"

namespace keelson::raft {

// Entries after `prev` from a leader's log, as a MsgApp carries them.
struct LogSlice {
  EntryId prev;
  std::span<const Entry> entries;

  Index last_index() const { return prev.index + entries.size(); }
  // Whether the indexes are consecutive and the terms never fall nor exceed `leader_term`: true of
  // everything that a correct leader sends.
  bool well_formed(Term leader_term) const;
};

class Log {
 public:
  static absl::StatusOr<std::unique_ptr<Log>> open(Storage* storage, Lines lines,
                                                   uint64_t max_applying_size);

  Index committed() const { return committed_; }
  Index applied() const { return applied_; }
  Index applying() const { return applying_; }
  Index last_index() const { return unstable_.last_index(); }
  Index first_index() const;
  const Unstable& unstable() const { return unstable_; }
  uint64_t max_applying_size() const { return max_applying_size_; }

  // The term of the entry at `index`; none if it is compacted away or not there yet.
  std::optional<Term> term(Index index) const;
  bool matches(EntryId id) const { return term(id.index) == id.term; }
  EntryId last_id() const;
  // Whether a log that ends with `theirs` is as complete as ours (Raft paper 5.4.1).
  bool is_up_to_date(EntryId theirs) const;

  // Entries [lo, hi) within `max_size` encoded bytes, at least one. OutOfRange if compacted.
  absl::StatusOr<Entries> slice(Index lo, Index hi, uint64_t max_size) const;
  // Entries from `lo` to the end; empty if there are none.
  absl::StatusOr<Entries> entries_from(Index lo, uint64_t max_size) const;
  absl::StatusOr<SnapshotPtr> snapshot() const;
  // Whether any entry in [lo, hi) is one of `wanted`; reads a page at a time.
  bool any(Index lo, Index hi, const std::function<bool(const Entry&)>& wanted) const;

  // The leader's way: room for `count` entries, then each with the next index.
  void reserve(size_t count) { unstable_.reserve(count); }
  void push(Entry entry);
  // The follower's way: the last index of `slice` if it fits behind what we have, after which
  // everything up to min(committed, that) is committed; none if the logs differ at slice.prev.
  std::optional<Index> maybe_append(const LogSlice& slice, Index committed);
  // For bootstrap only: entries without a check against what is there.
  void append(std::span<const Entry> entries);

  // The highest index <= `index` at which this log may agree with one that has `term` there: its
  // term is at most `term`, or unknown (then the second part is 0).
  EntryId find_conflict_by_term(Index index, Term term) const;

  // Never moves back.
  void commit_to(Index index);
  // Commits `id` if it is ours and its term is not 0.
  bool maybe_commit(EntryId id);
  void load_committed(Index committed) { committed_ = committed; }
  void restore(SnapshotPtr snapshot);

  // Entries to apply now: committed, not handed out, within the budget. With `allow_unstable` also
  // those whose write is not acknowledged.
  Entries next_committed(bool allow_unstable) const;
  bool has_next_committed(bool allow_unstable) const;
  void accept_applying(Index last, uint64_t size, bool allow_unstable);
  void applied_to(Index index, uint64_t size);

  void accept_unstable() { unstable_.accept_in_progress(); }
  void stable_to(EntryId id) { unstable_.stable_to(id); }
  void stable_snapshot_to(Index index) { unstable_.stable_snapshot_to(index); }

  // "committed=5, applied=4, applying=4, unstable.offset=5, …".
  std::string describe() const;
  void check_invariants() const;

 private:
  Log(Storage* storage, Lines lines, uint64_t max_applying_size, Index first, Index last);

  Index find_conflict(std::span<const Entry> entries) const;
  Index max_appliable(bool allow_unstable) const;
  absl::StatusOr<Entries> across(Index lo, Index hi, uint64_t max_size) const;

  Storage* storage_;
  Lines lines_;
  Unstable unstable_;

  // applied_ <= applying_ <= committed_ <= last_index(), except that committed_ may pass a last
  // index that a restart lost, which commit_to() refuses.
  // Known to be on stable storage on a quorum.
  Index committed_;
  // Handed out for application.
  Index applying_;
  // Application acknowledged.
  Index applied_;

  // Encoded bytes handed out and not acknowledged; a soft limit, passed by at most one batch.
  uint64_t max_applying_size_;
  uint64_t applying_size_ = 0;
  // No more until something is acknowledged: the budget is spent, or the next entry would break it.
  bool applying_paused_ = false;
};

}  // namespace keelson::raft
