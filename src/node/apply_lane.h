// node/apply_lane.h
//
// ApplyLane feeds committed entries to the state machine, publishes what they changed once per
// batch, and sends the answers home. Everything that waits when the lane gets to it is one batch.
//
// Threads: apply(), when_applied() and run() are called on any lane and post; the state machine is
//   touched on the apply lane only.
// The end: once the applier is told to give up, what is applied so far is published, and whoever
//   waits for the rest is told errors::Stopped(); the next start applies it. Of a batch whose last
//   entry was given up half way nothing is published.
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
#include "node/received_state.h"
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
  // Makes the member's state that one. On the lane. An error: the member cannot go on.
  using Install = std::function<absl::Status(ReceivedState)>;
  // Completes a MsgSnap with the state as of its last commit, and sends it. On the lane.
  using SendState = std::function<void(raft::Message)>;
  // A membership change was made, and consensus does not know yet. On the lane.
  using MembersChanged = std::function<void()>;
  // The state machine stands at entry `index`: the last of what was handed over together, or it is
  // about to be published. On the lane.
  using StandsAt = std::function<void(Index)>;
  struct Calls {
    RunHash run_hash;
    NoSpace no_space;
    Install install;
    SendState send_state;
    MembersChanged members_changed;
    StandsAt stands_at;
    Fatal fatal;
  };

  // `applier` and `consensus` outlive this; the latter is not used before the first apply().
  ApplyLane(Executor& lane, apply::Applier& applier, MemberState& state, Consensus& consensus,
            Calls calls);

  // `message` is a MsgStorageApply; proposals[i], where not null, waits for entry i.
  void apply(raft::Message message, std::vector<ProposalPtr> proposals);

  // Answers the reads once `index` is applied and published.
  void when_applied(Index index, std::vector<ReadBatch> reads);

  // Behind everything handed over before: the state machine goes on with another state.
  void install(ReceivedState state);
  // Sends what is applied as the snapshot that `message` announces.
  void send_state(raft::Message message);

  // Runs with the state machine on its lane, between batches: lease queries, compaction.
  void run(absl::AnyInvocable<void(apply::Applier&)> task);

 private:
  struct Work {
    raft::Message message;
    std::vector<ProposalPtr> proposals;
  };

  void schedule_flush();
  void flush();
  // A batch ends early when it has become so large: a request of a few bytes may write what is
  // there already (`ignore_value`), and a thousand of them wait for one flush.
  static constexpr size_t kMostUnpublished = 32 << 20;
  void apply_work(Work& work);
  void refuse();
  absl::StatusOr<apply::Reply> apply_conf_change(const raft::Entry& entry);
  void publish_and_answer();
  void publish();
  void answer();
  void deliver();
  void check_invariants() const;
  void fail(absl::Status status);
  void background_step(Duration pause = Duration(0));

  Executor& lane_;
  apply::Applier& applier_;
  MemberState& state_;
  Consensus& consensus_;
  const Calls calls_;

  // On the apply lane.
  bool is_over() const { return failed_ || left_; }

  std::vector<Work> waiting_;          // none unless flush_scheduled_, or failed_
  std::vector<ProposalPtr> answered_;  // none between two batches
  // By the index that they wait for, which is > applied_ between two batches.
  std::multimap<Index, std::vector<ReadBatch>> reads_;
  // state_.applied <= applied_, which is the last entry given to the applier; equal when a batch is
  // published. Neither goes back, nor does the term.
  Index applied_;
  Term applied_term_;
  bool flush_scheduled_ = false;
  bool background_scheduled_ = false;  // at most one step is under way
  bool failed_ = false;
  bool left_ = false;  // nothing more is applied or published, as the member ends
};

}  // namespace keelson::node
