// node/proposals.h
//
// Proposals is what this member has asked of the group and not seen come back: what the core has
// not taken yet, and what it has, until the entry comes out of the log or the proposal is given up.
//
// Threads: the consensus lane.
// What the core does not take now (no leader; the leadership is being handed over) waits, in order,
//   until it does or the time is up. etcd drops what comes in between with an error.
// Turns: while this member leads, no more of its proposals are in the log and not at the state
//   machine than the window holds, which is more than disks and peers take to be busy. What does
//   not fit waits here, where clients take turns (node/fair_queue.h); behind the window nobody is
//   passed any more. A follower sends all of it on: what becomes of it, it hears from the log
//   alone.
// What only a leader may ask for (Proposal::only_in) is proposed in that term or not at all, and is
//   never forwarded: revocations of a leader of yesterday would meet leases that were renewed since
//   (etcd-io/etcd#15247).
// Membership changes go one at a time: raft makes an empty entry of one that is proposed while
//   another is not applied, and nobody would ever hear of it. So one is under way until the core
//   has heard that it is applied.
// Bounds: one proposal to the core is about kMostBytes, so that it fits into a message to the
//   leader. All of it together is what the gateways let in.

#pragma once

#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/clock.h"
#include "node/fair_queue.h"
#include "node/proposal.h"
#include "raft/raw_node.h"

namespace keelson::node {

// Where the member stands in its group.
struct Standing {
  MemberId leader;  // kNobody: none known
  Term term;
  bool leads = false;  // then it is the leader
};

class Proposals {
 public:
  static constexpr uint64_t kMostBytes = 1 << 20;

  // Whichever is reached first; the last one may pass `cost`, which is as the gateways count.
  struct Window {
    size_t proposals = 8192;
    int64_t cost = 32 << 20;
  };

  explicit Proposals(Window window);

  void add(std::vector<ProposalPtr> proposals);
  // Gives the core what it takes.
  void propose(raft::RawNode& core, const Standing& standing);
  // The entry at `index` with this request id is about to be applied; null: none of ours.
  ProposalPtr take(uint64_t id, Index index);
  // Since propose() room has come free for somebody whom it had none for.
  bool may_go_on(const Standing& standing) const { return held_up_ && has_room(standing); }
  // The core knows that all up to `index` is applied.
  void applied(Index index);
  bool none_proposed() const { return under_way_.empty(); }

  // The gateways answer who has waited too long. What is given up here goes home to be discharged.
  void expire(MonotonicTime now, const Standing& standing);
  // On a change of leader or term: what is past its deadline may never come back from the log.
  void give_up_lost(MonotonicTime now, const Standing& standing);
  void fail_all(const absl::Status& status);

 private:
  void check_invariants() const;
  bool has_room(const Standing& standing) const;
  bool any_waits() const;
  size_t count_together(const std::vector<ProposalPtr>& proposals, size_t from,
                        const Standing& standing) const;
  void give_in_order(std::vector<ProposalPtr>& proposals, raft::RawNode& core,
                     const Standing& standing);
  void give_in_turns(raft::RawNode& core, const Standing& standing);
  void propose_change(raft::RawNode& core, const Standing& standing);
  void take_note(ProposalPtr proposal, const Standing& standing);
  void enter_window(const Proposal& proposal);
  void leave_window(const Proposal& proposal);
  void refuse_outdated(const Standing& standing);
  ProposalPtr give_up(uint64_t id);
  static bool is_in_our_log(const Proposal& proposal, const Standing& standing);
  static void reply(ProposalPtr proposal, absl::Status status);

  const Window window_;
  // Not yet given to the core, each in order: membership changes, what is for a leader to ask for,
  // and other requests …
  std::vector<ProposalPtr> changes_;
  std::vector<ProposalPtr> leaders_;
  std::vector<ProposalPtr> waiting_;
  // … of which these came before, and had no room; and these have had their turn.
  FairQueue<ProposalPtr> queue_;
  std::vector<ProposalPtr> next_;
  // Given to the core, by request id. Those past their deadline stay while they are in this
  // leader's log for sure: until they are applied they take the memory that they were charged.
  absl::flat_hash_map<uint64_t, ProposalPtr> under_way_;
  // Of those given to the core, in the order in which they were given, which need not be theirs.
  // Who is under way has a place here until the time is up.
  std::deque<std::pair<MonotonicTime, uint64_t>> deadlines_;
  // What is in the window: of those under way, the ones that this leader took in this term.
  Term window_term_;  // 0: none; then it is empty
  size_t in_window_ = 0;
  int64_t window_cost_ = 0;  // 0 if in_window_ is, else > 0
  bool held_up_ = false;     // somebody waits, and the last propose() left no room
  // The membership change under way, 0: none. It is in under_way_, or its entry at change_index_ is
  // on its way through the state machine.
  uint64_t changing_ = 0;
  Index change_index_;
};

}  // namespace keelson::node
