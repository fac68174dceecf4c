// node/read_rounds.h
//
// ReadRounds asks the group's leader from which index on a read is as new as everything that was
// acknowledged before it was asked for. One round at a time: reads that come while it is under way
// share the next. Each round has contexts of its own, so that a late answer to an older one is
// never taken for it (etcd-io/etcd#20418); a round that gets no answer is asked again, and the
// answer to any of its questions will do: all its reads were there before the first.
//
// A round costs the group messages and woken threads, not reads. So where many read at once, and
// those that were just answered can be expected to ask again, the next round is held back until
// most of them have, for a moment at most: else they would be two groups that take turns, at twice
// the rounds. Where they do not come that is tried less and less often.
//
// Threads: submit() from any; everything else on the consensus lane.
// Wake-ups: nobody wakes the lane for a read while a round is under way or held back: what ends the
//   round, fills the crowd, or lets the hold run out does, and looks for what has come meanwhile.
// Bounds: none; who submits counts what is not answered.

#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "node/proposal.h"
#include "raft/raw_node.h"

namespace keelson::node {

class ReadRounds {
 public:
  struct Limits {
    int64_t crowd = 8;  // reads in a round from which on the next may be held back; > 0
    Duration longest_hold = std::chrono::milliseconds(2);
  };
  // `seed` starts the contexts, which no other member may use.
  ReadRounds(uint64_t seed, const Limits& limits);
  ~ReadRounds();
  ReadRounds(const ReadRounds&) = delete;
  ReadRounds& operator=(const ReadRounds&) = delete;

  // REQUIRES: there are reads in it. True: the lane must call start(). False: it will, for another
  // reason, or at the latest expire(), at its next tick.
  bool submit(ReadBatch batch);
  // Begins the next round, if there is need of one and none is under way. If it is held back: for
  // how long, unless this is called for another reason before.
  std::optional<Duration> start(raft::RawNode& core, MonotonicTime now);
  // The batches that the answer is for; none if it is for an older round.
  std::vector<ReadBatch> take(const raft::ReadState& answer, MonotonicTime now);

  // The round under way may never be answered.
  void fail_round(const absl::Status& status);
  void fail_all(const absl::Status& status);
  // Answers who has waited too long. True: the round was asked again, which it is only if reads
  // `may` be asked for now; that they might when it began says nothing of this member's right to
  // answer them by itself.
  bool expire(raft::RawNode& core, MonotonicTime now, bool may);

 private:
  struct Submitted {
    ReadBatch batch;
    Submitted* older;
  };

  struct Round {
    uint64_t context = 0;  // of the last question; 0: none under way
    uint64_t first_context = 0;
    MonotonicTime asked;
    int64_t reads = 0;               // > 0 if and only if context != 0
    std::vector<ReadBatch> batches;  // empty if and only if context == 0
  };
  struct Hold {
    int64_t crowd = 0;  // who is waited for, with those that wait already; 0: the next is not held
    MonotonicTime until;
  };

  Bytes next_context();
  void gather();
  void begin(raft::RawNode& core, MonotonicTime now);
  std::vector<ReadBatch> end_round();
  void hold_next(int64_t answered, Duration took, MonotonicTime now);
  void learn_from_hold();

  const Limits limits_;
  std::atomic<Submitted*> submitted_{nullptr};  // the newest first
  // How many reads may be submitted before somebody wakes the lane: kMany while a round is under
  // way. Changed by the lane before it gathers: who submits and finds room has submitted before
  // that.
  std::atomic<int64_t> room_{0};
  std::vector<ReadBatch> waiting_;
  int64_t waiting_reads_ = 0;  // in them
  Round round_;
  Hold hold_;
  int rest_ = 0;       // so many rounds are not held back; <= last_rest_
  int last_rest_ = 0;  // 0: those who were waited for came
  uint64_t next_context_;
};

}  // namespace keelson::node
