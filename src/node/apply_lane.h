// node/apply_lane.h
//
// ApplyLane feeds committed entries to the state machine, publishes what they changed once per
// batch, and sends the answers home. Everything that waits when the lane gets to it is one batch.
//
// Threads: apply(), when_applied() and run() are called on any lane and post; the state machine is
//   touched on the apply lane only.
// Failure: a state machine that cannot go on (an unreadable backend) calls `fatal` once; nothing
//   later is applied or answered.

#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "apply/applier.h"
#include "base/executor.h"
#include "node/member_state.h"
#include "node/proposal.h"
#include "raft/types.h"

namespace keelson::node {

class Consensus;

class ApplyLane {
 public:
  using Fatal = std::function<void(absl::Status)>;

  // Runs a hash job off the apply lane, or drops it.
  using RunHash = std::function<void(std::unique_ptr<mvcc::HashKvJob>)>;

  // A write was done past the quota and no alarm stands yet. On the lane.
  using NoSpace = std::function<void()>;

  // `applier` and `consensus` outlive this; the latter is not used before the first apply().
  ApplyLane(Executor& lane, apply::Applier& applier, MemberState& state, Consensus& consensus,
            RunHash run_hash, NoSpace no_space, Fatal fatal);

  // `message` is a MsgStorageApply; proposals[i], where not null, waits for entry i.
  void apply(raft::Message message, std::vector<ProposalPtr> proposals);

  // Answers the reads once `index` is applied and published.
  void when_applied(Index index, std::vector<ReadBatch> reads);

  // Runs with the state machine on its lane, between batches: lease queries, compaction.
  void run(absl::AnyInvocable<void(apply::Applier&)> task);

 private:
  struct Work {
    raft::Message message;
    std::vector<ProposalPtr> proposals;
  };

  void schedule_flush();
  void flush();
  void apply_work(Work& work);
  absl::StatusOr<apply::Reply> apply_conf_change(const raft::Entry& entry);
  void publish();
  void answer();
  void fail(absl::Status status);
  void background_step(Duration pause = Duration(0));

  Executor& lane_;
  apply::Applier& applier_;
  MemberState& state_;
  Consensus& consensus_;
  const RunHash run_hash_;
  const NoSpace no_space_;
  const Fatal fatal_;

  // On the apply lane.
  std::vector<Work> waiting_;
  std::vector<ProposalPtr> answered_;
  std::multimap<Index, std::vector<ReadBatch>> reads_;
  // state_.applied <= applied_, which is the last entry given to the applier; equal when a batch is
  // published. Neither goes back.
  Index applied_;
  Term applied_term_;
  bool flush_scheduled_ = false;
  bool background_scheduled_ = false;
  bool failed_ = false;
};

}  // namespace keelson::node
