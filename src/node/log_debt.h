// node/log_debt.h
//
// LogDebt keeps the account of what the log still has to hold: how much of it the store could lose,
// how much of it no mark lets go. It says when the store should flush, when the log should get a
// mark, and when no more may come in. By entries and by bytes: ten thousand entries are a second's
// work or fifteen gigabytes.
//
// Why it bounds a restart: the entries that a member reads into memory when it starts are those
// past what its store held durably, and those it has just read past are the ones behind the mark.
//
// Threads: one caller at a time (the consensus lane).
// Memory: some hundred points, however much is not durable.

#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>

#include "base/clock.h"
#include "base/ids.h"

namespace keelson::node {

class LogDebt {
 public:
  struct Limits {
    // A mark for more than so many entries, or so many bytes, that became durable in the store. For
    // as many entries a store that has rested is asked to flush: a small one would have no mark for
    // days. A store that flushes for the sake of its memory does so more often under load; one that
    // does not loses little by one small file in `flush_pause`.
    uint64_t mark_entries = 10'000;  // --snapshot-count
    uint64_t mark_bytes = 64 << 20;  // about a segment of the log
    Duration flush_pause = std::chrono::seconds(10);
    // The store is asked to flush for so much that it could lose. It flushes by itself for the sake
    // of its memory long before, unless entries are large and leave little behind (transactions
    // that were refused, overwrites of what is not there). A new member's first entries are reason
    // enough: a store that never had anything durable is not told from one of which the log is
    // gone.
    uint64_t flush_entries = 500'000;
    uint64_t flush_bytes = 256 << 20;

    // The usual ones but for --snapshot-count (0: that too, as in etcd). Who wants marks that often
    // has them that often: a millisecond of the pause for each entry, fifty at least.
    static Limits with_marks_every(uint64_t entries);
  };

  // Where a member starts.
  struct Position {
    // marked <= durable <= applied
    Index marked;                  // the newest mark in the log
    Index durable;                 // what the store cannot lose
    Index applied;                 // what it holds
    uint64_t unmarked_bytes = 0;   // of entries in (marked, durable]
    uint64_t undurable_bytes = 0;  // of entries in (durable, applied]
  };
  LogDebt(Limits limits, const Position& start);

  // Entries up to `index` have gone to the state machine, `bytes` of them since the last call.
  void handed(Index index, uint64_t bytes);
  // The store cannot lose what is up to `index` any more. REQUIRES: index was handed.
  void durable(Index index);
  // A mark at mark_index() was asked for: should_mark() is quiet until mark_made() or
  // mark_failed(). REQUIRES: none is asked for.
  void mark_asked();
  // It is durable: the log lets go of what is before it.
  void mark_made();
  // It is not there, so the debt stays, and is a reason for another.
  void mark_failed();
  // A flush was asked for: should_flush() is quiet until it is over.
  void flush_asked();
  void flush_over() { flush_asked_ = false; }
  // Space is short: whatever can be let go of is worth a flush and a mark.
  void hurry(bool on);

  bool should_mark() const;
  // Where a mark would be. While entries are what it is for: where etcd has its snapshot, the first
  // that were handed more than `mark_entries` behind the last mark, unless the store has come so
  // far that there is one more of those. Otherwise as far as the store is durable.
  Index mark_index() const { return next_mark().index; }
  // `rested`: the last flush is as long ago as `flush_pause`.
  bool should_flush(bool rested) const;
  // Twice what a flush is asked for: the store does not keep up, and nothing may come in. While
  // space is short, far less (31,250 entries, 51 MB): the store cannot flush then, and when its
  // write buffers are used up (64 MB of data; 16 MB of notes, some 85 bytes an entry), the lane
  // that writes to it stands still.
  bool is_over() const;

  Index marked_index() const { return marked_; }
  Index durable_index() const { return durable_; }
  uint64_t unflushed_entries() const { return handed_ - durable_; }
  uint64_t unflushed_bytes() const { return handed_total_ - durable_total_; }
  uint64_t unmarked_entries() const { return durable_ - marked_; }
  uint64_t unmarked_bytes() const { return durable_total_ - marked_total_; }

 private:
  static constexpr uint64_t kGrains = 64;  // in what a flush is asked for; one of them in a hurry

  struct Point {
    Index index;
    uint64_t total;
  };

  // By entries.
  bool is_worth_a_mark(Index index) const {
    return index > asked_ && index - asked_ > limits_.mark_entries;
  }
  bool milestone_is_durable() const { return milestone_ && milestone_->index <= durable_; }
  void look_for_milestone();
  Point next_mark() const;
  void check_invariants() const;

  Limits limits_;
  // marked_ <= asked_ <= durable_ <= handed_, and the same for the bytes up to each, counted from
  // the mark that the member started with. Between points bytes count as if nothing were durable
  // yet. asked_ is where a mark is being made; at marked_ when none is.
  Index marked_, asked_, durable_, handed_;
  uint64_t marked_total_ = 0, asked_total_ = 0, durable_total_ = 0, handed_total_ = 0;
  bool flush_asked_ = false;
  bool hurry_ = false;
  bool flush_at_once_ = false;  // only in a hurry: until the first flush was asked for
  // The first that was handed past asked_ + mark_entries: asked_ + mark_entries < index <= handed_.
  // None exactly when nothing was.
  std::optional<Point> milestone_;
  // durable_ < index, in order, the last at handed_ if it is not durable_.
  std::deque<Point> points_;
};

}  // namespace keelson::node
