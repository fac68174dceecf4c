// raft/core.h
//
// Core: the state of one member, in one place, and the few primitives that every subject needs.
// The rules live beside it, one subject per file, as functions over a Core:
//
//   step.h         terms, and who handles which message
//   election.h     campaigns, votes, changes of role
//   follower.h     what a follower does with each message
//   candidate.h    what a candidate does
//   leader.h       what a leader does; propose.h, replicate.h, reads.h, transfer.h its subjects
//   membership.h   configuration changes and restored snapshots
//   ready.cc       what the driver gets to see (RawNode)
//
// Internal to raft/; the outside sees RawNode. Threads: the node's lane.

#pragma once

#include <memory>
#include <vector>

#include "raft/lines.h"
#include "raft/log.h"
#include "raft/raw_node.h"
#include "raft/role.h"
#include "raft/tracker/config.h"

namespace keelson::raft {

// Messages to go out with the next Ready.
struct Outbox {
  // To others, at once.
  std::vector<Message> now;
  // Promises (votes, acknowledged appends) to others or to ourselves: not before all state that is
  // unstable now is durable (Raft thesis 3.8).
  std::vector<Message> after_append;
};

class Core {
 public:
  Core(Config options, std::unique_ptr<Log> log);

  StateType state() const;
  // The leader of this term, as far as known.
  MemberId lead() const;
  bool is_leader() const { return std::holds_alternative<Leader>(role); }
  // Null unless leader. Dies with the role: do not keep it across a call that may change it.
  Leader* leader() { return std::get_if<Leader>(&role); }
  const Leader* leader() const { return std::get_if<Leader>(&role); }
  SoftState soft_state() const { return {lead(), state()}; }
  HardState hard_state() const { return {term, vote, log->committed()}; }

  // Whether this member may campaign: a voter without a snapshot still to be applied.
  bool promotable() const;
  // Whether the leader has committed something in its own term; before that its commit index may be
  // behind (Raft thesis 6.4).
  bool committed_in_term() const;

  // Puts `message` into the outbox, with this member and term as its origin where unset.
  void send(Message message);
  // To `to`, the leader, as it came.
  void forward(Message message, MemberId to);

  // Common part of every change of role: the term (a new one clears the vote), and the clock.
  void reset(Term new_term);

  void check_invariants() const;

  // validate()d; never changes.
  const Config options;
  const Lines lines;

  Term term;
  // Whom we voted for in `term`.
  MemberId vote{};
  const std::unique_ptr<Log> log;
  tracker::Config config;
  Role role;

  // Ticks since the leader was heard (follower), since the campaign began (candidates), since the
  // quorum was last checked (leader). election_elapsed >= 0.
  int election_elapsed = 0;
  // election_tick <= this < 2 * election_tick, unless a test sets it.
  int randomized_election_timeout = 0;

  Outbox outbox;
  std::vector<ReadState> read_states;
  // Reads that a leader took before its first commit. Not the leader's state only: etcd-raft keeps
  // them across a loss of leadership and answers them when (if) it leads again.
  std::vector<ReadRequest> reads_before_first_commit;
};

}  // namespace keelson::raft
