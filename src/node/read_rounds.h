// node/read_rounds.h
//
// ReadRounds asks the group's leader from which index on a read is as new as everything that was
// acknowledged before it was asked for. One round at a time: reads that come while it is under way
// share the next. Each round has a context of its own, so that a late answer to an older one is
// never taken for it (etcd-io/etcd#20418); a round that gets no answer is asked again.
//
// Threads: the consensus lane.

#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "node/proposal.h"
#include "raft/raw_node.h"

namespace keelson::node {

class ReadRounds {
 public:
  // `seed` starts the contexts, which no other member may use.
  explicit ReadRounds(uint64_t seed) : next_context_(seed) {}

  // REQUIRES: there are reads in it.
  void add(ReadBatch batch);
  // Begins the next round, if there is need of one and none is under way.
  void start(raft::RawNode& core, MonotonicTime now);
  // The batches that the answer is for; none if it is for an older round.
  std::vector<ReadBatch> take(const raft::ReadState& answer);

  // The round under way may never be answered.
  void fail_round(const absl::Status& status);
  void fail_all(const absl::Status& status);
  // Answers who has waited too long. True: the round was asked again.
  bool expire(raft::RawNode& core, MonotonicTime now);

 private:
  Bytes next_context();

  struct Round {
    uint64_t context = 0;  // 0: none under way
    MonotonicTime asked;
    std::vector<ReadBatch> batches;  // empty if and only if context == 0
  };
  std::vector<ReadBatch> waiting_;
  Round round_;
  uint64_t next_context_;
};

}  // namespace keelson::node
