#include "raft/step.h"

#include <algorithm>
#include <utility>

#include "raft/candidate.h"
#include "raft/election.h"
#include "raft/follower.h"
#include "raft/leader.h"
#include "raft/plant.h"
#include "raft/propose.h"

namespace keelson::raft {
namespace {

// Sent by the leader of a term, so whoever sent it leads.
bool is_from_leader(MessageType type) {
  return type == MessageType::kMsgApp || type == MessageType::kMsgHeartbeat ||
         type == MessageType::kMsgSnap;
}

// A message of a later term. False if it must be ignored.
bool accept_higher_term(Core& core, const Message& message) {
  const bool asks_for_vote =
      message.type == MessageType::kMsgVote || message.type == MessageType::kMsgPreVote;
  if (asks_for_vote && ignored_in_lease(core, message)) return false;
  // Pre-votes are about a term that nobody is in yet.
  if (message.type == MessageType::kMsgPreVote) return true;
  if (message.type == MessageType::kMsgPreVoteResp && !message.reject) return true;

  core.lines.info(core.options.id, " [term: ", core.term, "] received a ", message.type,
                  " message with higher term from ", message.from, " [term: ", message.term, "]");
  become_follower(core, message.term, is_from_leader(message.type) ? message.from : kNobody);
  return true;
}

void snapshot_stored(Core& core, const Snapshot& snapshot) {
  core.log->stable_snapshot_to(snapshot.metadata.index);
  applied_to(core, snapshot.metadata.index, 0);
}

// Entries may have been overwritten in the term that followed, so they cannot be taken as stable;
// a snapshot is committed state and stays valid.
void storage_append_done_in_old_term(Core& core, const Message& message) {
  if (planted(Plant::kOldStorageAnswer) && message.index != Index(0)) {
    core.log->stable_to({message.log_term, message.index});
  } else if (message.index != Index(0)) {
    core.lines.info(core.options.id, " [term: ", core.term, "] ignored entry appends from a ",
                    message.type, " message with lower term [term: ", message.term, "]");
  }
  if (message.snapshot) snapshot_stored(core, *message.snapshot);
}

void handle_lower_term(Core& core, const Message& message) {
  const bool from_old_leader =
      message.type == MessageType::kMsgHeartbeat || message.type == MessageType::kMsgApp;
  if ((core.options.check_quorum || core.options.pre_vote) && from_old_leader) {
    // With these options our own campaign cannot make the old leader step down: its followers
    // ignore us. This answer carries our term and does.
    core.send({.type = MessageType::kMsgAppResp, .to = message.from});
  } else if (message.type == MessageType::kMsgPreVote) {
    // Silence could deadlock a group that is being switched to pre-vote.
    reject_vote(core, message);
  } else if (message.type == MessageType::kMsgStorageAppendResp) {
    storage_append_done_in_old_term(core, message);
  } else {
    core.lines.info(core.options.id, " [term: ", core.term, "] ignored a ", message.type,
                    " message with lower term from ", message.from, " [term: ", message.term, "]");
  }
}

void storage_append_done(Core& core, const Message& message) {
  if (message.index != Index(0)) core.log->stable_to({message.log_term, message.index});
  if (message.snapshot) snapshot_stored(core, *message.snapshot);
}

void storage_apply_done(Core& core, const Message& message) {
  if (message.entries.empty()) return;
  applied_to(core, message.entries.back().index, encoded_size(message.entries));
  if (Leader* leader = core.leader()) reduce_uncommitted_size(*leader, message.entries);
}

absl::Status step_role(Core& core, Message message) {
  switch (core.state()) {
    case StateType::kFollower:
      return step_follower(core, std::move(message));
    case StateType::kPreCandidate:
    case StateType::kCandidate:
      return step_candidate(core, std::move(message));
    case StateType::kLeader:
      return step_leader(core, std::move(message));
  }
  return absl::OkStatus();
}

}  // namespace

void tick(Core& core) {
  if (core.is_leader()) {
    tick_leader(core);
  } else {
    tick_election(core);
  }
}

absl::Status step(Core& core, Message message) {
  if (message.term > core.term) {
    if (!accept_higher_term(core, message)) return absl::OkStatus();
  } else if (message.term != Term(0) && message.term < core.term &&
             !(planted(Plant::kStaleAppend) && message.type == MessageType::kMsgApp)) {
    handle_lower_term(core, message);
    return absl::OkStatus();
  }

  switch (message.type) {
    case MessageType::kMsgHup:
      campaign_if_possible(core,
                           core.options.pre_vote ? Campaign::kPreElection : Campaign::kElection);
      return absl::OkStatus();
    case MessageType::kMsgStorageAppendResp:
      storage_append_done(core, message);
      return absl::OkStatus();
    case MessageType::kMsgStorageApplyResp:
      storage_apply_done(core, message);
      return absl::OkStatus();
    case MessageType::kMsgVote:
    case MessageType::kMsgPreVote:
      handle_vote_request(core, message);
      return absl::OkStatus();
    default:
      return step_role(core, std::move(message));
  }
}

absl::Status propose(Core& core, MemberId from, std::span<Entry> entries) {
  switch (core.state()) {
    case StateType::kFollower:
      return propose_to_follower(core, from, entries);
    case StateType::kPreCandidate:
    case StateType::kCandidate:
      return propose_to_candidate(core);
    case StateType::kLeader:
      return propose_to_leader(core, entries);
  }
  return absl::OkStatus();
}

void applied_to(Core& core, Index index, uint64_t size) {
  const Index applied = std::max(index, core.log->applied());
  core.log->applied_to(applied, size);
  if (Leader* leader = core.leader();
      leader && core.config.auto_leave && applied >= leader->pending_conf_index) {
    leave_joint_automatically(core);
  }
}

}  // namespace keelson::raft
