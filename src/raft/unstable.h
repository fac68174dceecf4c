// raft/unstable.h
//
// Unstable: the tail of the log, and a snapshot, that storage does not hold for certain yet. What
// is being written ("in progress") stays visible here until its write is acknowledged, because
// until then a read of storage may show something older.
//
// Threads: the node's lane. The entries it hands out are shared and immutable.

#pragma once

#include <optional>
#include <span>

#include "raft/entry_buffer.h"
#include "raft/lines.h"
#include "raft/types.h"

namespace keelson::raft {

// The identity of an entry: a leader writes an index at most once in its term.
struct EntryId {
  Term term;
  Index index;

  friend bool operator==(const EntryId&, const EntryId&) = default;
};

class Unstable {
 public:
  // `offset` is the first index that storage does not hold.
  Unstable(Index offset, Lines lines) : offset_(offset), in_progress_(offset), lines_(lines) {}

  Index offset() const { return offset_; }
  Index in_progress() const { return in_progress_; }
  size_t size() const { return entries_.size(); }
  // The last index of the whole log: storage ends where we begin.
  Index last_index() const { return offset_ + entries_.size() - 1; }
  // The term of the entry at `index`, if it is here.
  std::optional<Term> term(Index index) const;

  const SnapshotPtr& snapshot() const { return snapshot_; }
  // The snapshot, unless its write has begun.
  SnapshotPtr next_snapshot() const { return snapshot_in_progress_ ? nullptr : snapshot_; }

  // Entries whose write has not begun.
  Entries next_entries() const;
  bool has_next_entries() const { return in_progress_ <= last_index(); }
  // Entries [lo, hi). REQUIRES: offset() <= lo <= hi <= last_index() + 1.
  Entries slice(Index lo, Index hi) const;
  std::span<const Entry> view(Index lo, Index hi) const;

  // Everything here is being written now.
  void accept_in_progress();
  // Entries up to `id` are in storage, and nothing in flight can overwrite them. Anything else than
  // an entry we hold is ignored: it was replaced meanwhile.
  void stable_to(EntryId id);
  void stable_snapshot_to(Index index);

  // Forgets all; the log is now what the snapshot says.
  void restore(SnapshotPtr snapshot);
  // REQUIRES: entries are not empty and leave no gap after last_index().
  void truncate_and_append(std::span<const Entry> entries);
  // One entry at last_index() + 1.
  void push(Entry entry) { entries_.push(std::move(entry)); }
  void reserve(size_t more) { entries_.reserve(more); }

  void check_invariants() const;

 private:
  void truncate(Index from);

  SnapshotPtr snapshot_;
  bool snapshot_in_progress_ = false;  // only if snapshot_
  // entries_[i].index == offset_ + i, offset_ <= in_progress_ <= offset_ + entries_.size();
  // if snapshot_: snapshot_->metadata.index < offset_.
  EntryBuffer entries_;
  Index offset_;
  // The first entry whose write has not begun.
  Index in_progress_;
  Lines lines_;
};

}  // namespace keelson::raft
