// node/consensus.h
//
// Consensus drives the raft core: everything that waits (proposals, reads, messages, finished disk
// and apply work) goes in, then the outstanding work comes out and is handed to the log lane, the
// apply lane and the peers at once (asynchronous storage writes), so that the disk of this member,
// its peers and the state machine work at the same time.
//
// Threads: the public methods are called from any lane and post; the rest runs on the consensus
//   lane, which owns the core, its storage and the table of proposals under way.
// Time: ticks come from the lane's timer and never wait for a disk. So a leader whose disk stalls
//   goes on being one as far as the others can tell; it notices itself (node/log_watch.h), and
//   hands the leadership over, or steps down, where the others can do without it.
// Failure: a core that reports something impossible, or storage that fails, calls `fatal` once.

#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "base/line_budget.h"
#include "node/apply_lane.h"
#include "node/as_of.h"
#include "node/heartbeat_watch.h"
#include "node/held_log.h"
#include "node/log_debt.h"
#include "node/log_lane.h"
#include "node/log_storage.h"
#include "node/log_watch.h"
#include "node/member_state.h"
#include "node/proposal.h"
#include "node/proposals.h"
#include "node/read_rounds.h"
#include "node/received_state.h"
#include "node/relays.h"
#include "node/term_starts.h"
#include "node/transfers.h"
#include "node/transport.h"
#include "raft/raw_node.h"

namespace keelson::membership {
struct View;
}  // namespace keelson::membership

namespace keelson::node {

class Consensus {
 public:
  struct Options {
    MemberId id;
    Duration tick = std::chrono::milliseconds(100);  // --heartbeat-interval
    int election_ticks = 10;                         // --election-timeout
    LogStorage::Keep keep;                           // --snapshot-catchup-entries
    LogDebt::Limits debt;                            // --snapshot-count
    Proposals::Window window;
    LineBudget* lines = nullptr;     // of lines about messages of peers; null: no bound
    uint64_t read_context_seed = 0;  // starts the unique contexts of read-index rounds
    ReadRounds::Limits reads;
  };
  using Fatal = std::function<void(absl::Status)>;
  // Asks the store to flush; told when that is done, or failed, by store_flushed(). On any lane.
  using FlushStore = std::function<void()>;
  // The log has a mark there, durable, and the members were those. On the consensus lane, which
  // does not wait for what becomes of it.
  using Marked =
      std::function<void(raft::SnapshotMetadata, std::shared_ptr<const membership::View>)>;
  // The member leads in `term`, and has applied everything of earlier terms; or leads no more. On
  // the consensus lane.
  using LeadershipChanged = std::function<void(bool is_leader, Term term)>;

  // What the member was brought up to: `core` reads `storage`, which holds what recover() found.
  struct Start {
    std::unique_ptr<LogStorage> storage;
    std::unique_ptr<raft::RawNode> core;
    // The membership at position.applied.
    raft::ConfState conf;
    std::shared_ptr<const membership::View> members;
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
    Marked marked;
    mvcc::Dispose dispose;  // of states, which takes long
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
  // Messages from a peer, in order. `taken` runs on the lane when they do not wait any more.
  void receive(std::vector<raft::Message> messages, Task taken);
  void receive(raft::Message message);
  // A snapshot from the leader, with the state that it names. If it is of no use the state is
  // dropped. (A MsgSnap without its state is not for receive().)
  void receive_snapshot(raft::Message message, ReceivedState state);
  // How sending a snapshot to `member` went.
  void snapshot_sent(MemberId member, bool arrived);
  // Messages to `member` do not get through.
  void unreachable(MemberId member);
  // The log lane has made these durable.
  void durable(std::vector<raft::Message> appends);
  // The apply lane has applied up to `index`; `applies` are the MsgStorageApply it has done.
  void applied(std::vector<raft::Message> applies, Index index);
  // A membership change was applied; before the applied() that covers it.
  void apply_conf_change(raft::ConfChangeV2 change, Index index);
  // The table of members is that one from entry `index` on; before the store is durable there.
  void members_changed(std::shared_ptr<const membership::View> members, Index index);
  // The store is durable up to `index`: when it is worth it, the log gets a mark there and lets go
  // of what is older.
  void backend_durable(Index index);
  // What FlushStore asked for is over, well or not.
  void store_flushed();
  // The mark that the log was asked for is durable, or there was no space for it.
  void marked(bool made);
  // MemberState::no_space() may say something new: while it does, the log lets go of all it can.
  void space_changed();
  // `done` follows on the lane when `to` leads, or does not after `patience`; see Transfers.
  void transfer_leader(MemberId to, Duration patience, Transfers::Done done);
  // Runs with the core on its lane: status.
  void with_core(absl::AnyInvocable<void(raft::RawNode&)> task);

 private:
  void post(Task task) { lane_.post(std::move(task)); }
  void schedule_flush();
  void flush();
  Standing standing() const;
  void start_read_round();
  bool may_read() const;
  bool is_rash() const;
  void drain_ready();
  void observe(const raft::Ready& ready);
  void dispatch(std::vector<raft::Message>& messages);
  void send(std::vector<raft::Message> messages);
  void hold_vote(raft::Message request);
  void send_votes_that_are_durable();
  void hand_to_apply(raft::Message message);
  ProposalPtr waiter_of(const raft::Entry& entry);
  void answer_reads(const raft::ReadState& state);
  void take_snapshot(const raft::Message& append);
  void start_over(const raft::SnapshotMetadata& snapshot);
  void drop_received();
  void step_responses(std::vector<raft::Message>& responses);
  void step(raft::Message message);
  void step_received(raft::Message message);
  void tick();
  void watch_log();
  void yield_leadership();
  void log_moves();
  void trim_storage();
  void mark_when_due();
  raft::SnapshotMetadata metadata_at(Index index) const;
  void note_whether_behind();
  void flush_when_due();
  void note_flush();
  void note_handed(Index last, uint64_t bytes);
  void campaign_if_alone();
  void announce_leadership();
  void check_invariants() const;

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
  bool announced_ = false;  // as the leader; is_leader_ too then
  MemberId leader_;
  Proposals proposals_;
  Relays relays_;
  Transfers transfers_;
  ReadRounds reads_;
  bool read_hold_timed_ = false;  // who looks when the hold has run out is on its way
  // Requests for votes whose term, and this member's own vote in it, are not durable yet: sent
  // before, they could win the same term twice (docs/raft.md). All of one term > durable_term_.
  std::vector<raft::Message> votes_;
  Term durable_term_;  // <= state_.term
  // The state that came last, until the core takes it or not; and those that it took and that the
  // log lane is marking, oldest first.
  std::optional<ReceivedState> received_;
  std::deque<ReceivedState> installing_;
  HeldLog held_;  // by snapshots to others; nothing unless is_leader_
  LogDebt debt_;
  MonotonicTime flushed_at_;   // when the store last flushed, or was asked to
  LogWatch log_watch_;         // state_.log_stalled == stalled()
  HeartbeatWatch heartbeats_;  // that leave; nothing unless this member leads
  bool handed_over_ = false;   // because of it, since the log last moved
  TermStarts terms_;           // first() <= debt_.mark_index()
  // Raft's configuration and the table of members, as of debt_.mark_index() and later, unless that
  // is before what this member had when it started. Never empty.
  AsOf<raft::ConfState> configurations_;
  AsOf<std::shared_ptr<const membership::View>> members_;
  // <= state_.committed, <= storage_->last(), only grows. While a state is installed it may be
  // before the beginning of storage_ and of terms_.
  Index applied_;
};

}  // namespace keelson::node
