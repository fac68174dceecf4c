// raft/sim/oracle.h
//
// Oracle: what no member may ever contradict, over the whole run and all restarts. It is told
// everything and throws Violation at the first broken promise:
//
//   election safety        one leader per term
//   log matching           the same index and term: the same entry, and the same one before it
//   leader completeness    who leads a later term holds all that was committed in earlier ones
//   state-machine safety   one entry, one application state, one configuration per index
//   durable promises       one vote per member and term; terms and acknowledged entries survive
//   reads                  a read sees every write acknowledged before it began
//
// Every check is incremental: its cost is that of what changed.

#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "raft/sim/log_view.h"
#include "raft/types.h"

namespace keelson::raft::sim {

class Oracle {
 public:
  // The first configuration, at index 1 and term 1.
  explicit Oracle(const ConfState& conf);

  // `id` leads `term` with `log`.
  void leads(MemberId id, Term term, const LogView& log);
  // Some log holds `entry` behind an entry of `before`.
  void holds(const Entry& entry, Term before);
  // A member in `term` knows that `log` is committed from `from` + 1 to `to`.
  void committed(MemberId id, Term term, const LogView& log, Index from, Index to);
  // What was committed now and by a leader of which term: for leaders of later terms to hold.
  Index last() const { return Index(truth_.size() - 1); }

  void applied(MemberId id, const Entry& entry);
  void configured(MemberId id, Index index, const ConfState& conf);
  void snapshot(MemberId id, const Snapshot& snapshot);
  // The application's state after `index`.
  uint64_t state_at(Index index) const { return truth_.at(index.value).state; }

  // `id` has said that it votes for `candidate` in `term`.
  void votes(MemberId id, Term term, MemberId candidate);
  // `id` has said something in `term` that must outlive a crash; `index` 0 if not about its log.
  void promised(MemberId id, Term term, Index index);
  // `id` comes up again with this.
  void restarted(MemberId id, const HardState& state, const LogView& log);

  // Reads. A strict one must see all writes acknowledged before it began; one on a lease those
  // acknowledged `bound` ticks before.
  uint64_t read_begins(uint64_t now, uint64_t bound);
  void read_answered(uint64_t read, Index index);
  void tick(uint64_t now);
  uint64_t reads_checked() const { return reads_checked_; }
  uint64_t elections() const { return elections_; }

 private:
  struct Truth {
    LogId id;
    // The term of the first member that knew it was committed: not below the real one.
    Term known_in;
    uint64_t state = 0;
  };
  struct Seen {
    LogId id;
    Term before;
  };
  struct Promise {
    Term term;
    Index index;  // acknowledged in `term`
    std::vector<std::pair<Term, MemberId>> votes;
  };
  struct Leading {
    MemberId id;
    Index checked;
  };

  Promise& promise(MemberId id);
  void commit(MemberId id, Term term, Index index, LogId entry);

  std::vector<Truth> truth_;                        // by index; [0] is unused
  std::vector<std::vector<Seen>> seen_;             // by index
  std::vector<MemberId> leaders_;                   // by term
  std::vector<std::pair<Index, ConfState>> confs_;  // by index, increasing
  std::vector<Promise> promises_;                   // by member
  // The newest index applied by anyone, hence acknowledged to some client; and at each past tick.
  Index acknowledged_{1};
  std::vector<Index> acknowledged_at_;
  std::vector<Index> reads_;  // what each read must see
  uint64_t reads_checked_ = 0;
  uint64_t elections_ = 0;
};

}  // namespace keelson::raft::sim
