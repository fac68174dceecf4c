// node/consensus.h
//
// Consensus drives the raft core: everything that waits (proposals, reads, messages, finished disk
// and apply work) goes in, then the outstanding work comes out and is handed to the log lane, the
// apply lane and the peers at once (asynchronous storage writes), so that the disk of this member,
// its peers and the state machine work at the same time.
//
// Threads: the public methods are called from any lane and post; the rest runs on the consensus
//   lane, which owns the core, its storage and the table of proposals under way.
// Time: ticks come from the lane's timer and never wait for a disk.
// Failure: a core that reports something impossible, or storage that fails, calls `fatal` once.

#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/clock.h"
#include "base/executor.h"
#include "node/apply_lane.h"
#include "node/log_debt.h"
#include "node/log_lane.h"
#include "node/log_storage.h"
#include "node/member_state.h"
#include "node/proposal.h"
#include "node/transport.h"
#include "raft/raw_node.h"

namespace keelson::node {

class Consensus {
 public:
  struct Options {
    MemberId id;
    Duration tick = std::chrono::milliseconds(100);  // --heartbeat-interval
    LogStorage::Keep keep;                           // --snapshot-catchup-entries
    LogDebt::Limits debt;                            // --snapshot-count
    uint64_t read_context_seed = 0;  // starts the unique contexts of read-index rounds
  };
  using Fatal = std::function<void(absl::Status)>;
  // Asks the store to flush; told when that is done, or failed, by store_flushed(). On any lane.
  using FlushStore = std::function<void()>;
  // The member won or lost the leadership; on the consensus lane.
  using LeadershipChanged = std::function<void(bool is_leader)>;

  // What the member was brought up to: `core` reads `storage`, which holds what recover() found.
  struct Start {
    std::unique_ptr<LogStorage> storage;
    std::unique_ptr<raft::RawNode> core;
    raft::ConfState conf;  // the membership at position.applied
    LogDebt::Position position;
  };
  // Where the work goes. The lanes outlive this; they are not used before start(). `transport` is
  // null for a member without peers.
  struct Doors {
    LogLane& log;
    ApplyLane& apply;
    Transport* transport;
    LeadershipChanged leadership_changed;
    FlushStore flush_store;
    Fatal fatal;
  };

  Consensus(Executor& lane, const Clock& clock, MemberState& state, Options options, Start start,
            Doors doors);

  // Begins to tick. A group whose only voter is this member elects it at once.
  void start();
  // Fails what is under way with Stopped, and takes no more. `done` follows on the lane.
  void stop(Task done);

  // Called by gateways, at most one batch of reads each time.
  void submit(std::vector<ProposalPtr> proposals, ReadBatch reads);
  // A message from a peer.
  void receive(raft::Message message);
  // The log lane has made these durable.
  void durable(std::vector<raft::Message> appends);
  // The apply lane has applied up to `index`; `applies` are the MsgStorageApply it has done.
  void applied(std::vector<raft::Message> applies);
  // A membership change was applied; before the applied() that covers it.
  void apply_conf_change(raft::ConfChangeV2 change, Index index);
  // The store is durable up to `index`: when it is worth it, the log gets a mark there and lets go
  // of what is older.
  void backend_durable(Index index);
  // What FlushStore asked for is over, well or not.
  void store_flushed();
  // The mark that the log was asked for is durable, or there was no space for it.
  void marked(bool made);
  // MemberState::no_space() may say something new: while it does, the log lets go of all it can.
  void space_changed();
  // Runs with the core on its lane: status, transfer.
  void with_core(absl::AnyInvocable<void(raft::RawNode&)> task);

 private:
  struct ReadRound {
    uint64_t context = 0;
    MonotonicTime asked;
    std::vector<ReadBatch> batches;
  };

  void post(Task task) { lane_.post(std::move(task)); }
  void schedule_flush();
  void flush();
  void propose_waiting();
  void start_read_round();
  bool may_read() const;
  void drain_ready();
  void observe(const raft::Ready& ready);
  void dispatch(std::vector<raft::Message>& messages);
  void hand_to_apply(raft::Message message);
  void answer_reads(const raft::ReadState& state);
  void fail_reads(const absl::Status& status);
  void step_responses(std::vector<raft::Message>& responses);
  void step(raft::Message message);
  void tick();
  void expire(MonotonicTime now);
  void expire_reads(MonotonicTime now);
  void expire_proposals(MonotonicTime now);
  bool is_in_our_log(const Proposal& proposal) const;
  void give_up_lost_proposals();
  void reply_now(ProposalPtr proposal, absl::Status status);
  void trim_storage();
  void mark_when_due();
  void flush_when_due();
  void note_handed(Index last, uint64_t bytes);
  void note_terms(std::span<const raft::Entry> entries);
  Term term_at(Index index) const;
  void campaign_if_alone();

  Executor& lane_;
  const Clock& clock_;
  MemberState& state_;
  const Options options_;

  const std::unique_ptr<LogStorage> storage_;
  const std::unique_ptr<raft::RawNode> core_;
  const Doors doors_;

  // On the consensus lane.
  raft::Ready ready_;
  bool flush_scheduled_ = false;
  bool stopped_ = false;
  bool is_leader_ = false;
  MemberId leader_;
  std::vector<ProposalPtr> to_propose_;  // not yet given to the core
  // Given to the core, by request id. Those past their deadline stay while they are in this
  // leader's log for sure: until they are applied they take the memory that they were charged.
  absl::flat_hash_map<uint64_t, ProposalPtr> pending_;
  std::deque<std::pair<MonotonicTime, uint64_t>> deadlines_;
  std::vector<ReadBatch> reads_waiting_;
  ReadRound read_round_;  // context 0: none under way
  uint64_t next_read_context_;
  LogDebt debt_;
  // Where terms begin, oldest first: the first at or below debt_.durable_index(). The mark of a
  // durable store needs the term at an index that the storage may have forgotten long ago.
  std::deque<std::pair<Index, Term>> term_starts_;
  // Configurations with the index that brought each, oldest first; the first at or below
  // debt_.durable_index().
  std::deque<std::pair<Index, raft::ConfState>> configurations_;
  Index applied_;  // <= state_.committed, <= storage_->last(), only grows
};

}  // namespace keelson::node
