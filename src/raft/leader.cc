#include "raft/leader.h"

#include <utility>

#include "raft/election.h"
#include "raft/plant.h"
#include "raft/propose.h"
#include "raft/reads.h"
#include "raft/replicate.h"
#include "raft/step.h"
#include "raft/transfer.h"

namespace keelson::raft {
namespace {

// Whether a quorum was heard from since the last check (Raft thesis 6.2: a leader that nobody hears
// must not go on believing in itself).
bool quorum_active(const Core& core, const Leader& leader) {
  auto active = [&leader](MemberId id) -> std::optional<bool> {
    const tracker::Progress* progress = leader.progress.find(id);
    if (!progress || progress->is_learner()) return std::nullopt;
    return progress->recent_active();
  };
  return quorum::vote_result(core.config.voters, active) == quorum::VoteResult::kWon;
}

void check_quorum(Core& core) {
  Leader& leader = *core.leader();
  if (!quorum_active(core, leader) && !planted(Plant::kLapsedLease)) {
    core.lines.warning(core.options.id, " stepped down to follower since quorum is not active");
    become_follower(core, core.term, kNobody);
    return;
  }
  for (auto& [id, progress] : leader.progress) {
    if (id != core.options.id) progress.set_recent_active(false);
  }
}

absl::Status step_propose(Core& core, const Message& message) {
  // Ours to change: the log sets term and index, and a refused change becomes an empty entry.
  std::vector<Entry> entries(message.entries.begin(), message.entries.end());
  return propose_to_leader(core, entries);
}

// Messages about one member that we track.
void step_member(Core& core, Leader& leader, const Message& message) {
  tracker::Progress* progress = leader.progress.find(message.from);
  if (!progress) {
    core.lines.debug(core.options.id, " no progress available for ", message.from);
    return;
  }
  switch (message.type) {
    case MessageType::kMsgAppResp:
      handle_append_response(core, leader, *progress, message);
      break;
    case MessageType::kMsgHeartbeatResp:
      handle_heartbeat_response(core, *progress, message);
      handle_read_acknowledgement(core, leader, message);
      break;
    case MessageType::kMsgSnapStatus:
      handle_snapshot_status(core, *progress, message);
      break;
    case MessageType::kMsgUnreachable:
      handle_unreachable(core, *progress, message);
      break;
    case MessageType::kMsgTransferLeader:
      handle_transfer(core, leader, *progress, message.from);
      break;
    default:
      break;
  }
}

}  // namespace

void tick_leader(Core& core) {
  ++core.leader()->heartbeat_elapsed;
  ++core.election_elapsed;
  if (core.election_elapsed >= core.options.election_tick) {
    core.election_elapsed = 0;
    if (core.options.check_quorum) check_quorum(core);
    // A transfer has one election timeout; after that we lead on.
    if (Leader* leader = core.leader()) leader->transferee = kNobody;
  }
  Leader* leader = core.leader();
  if (!leader || leader->heartbeat_elapsed < core.options.heartbeat_tick) return;
  leader->heartbeat_elapsed = 0;
  broadcast_heartbeat(core);
}

absl::Status step_leader(Core& core, Message message) {
  switch (message.type) {
    case MessageType::kMsgBeat:
      broadcast_heartbeat(core);
      break;
    case MessageType::kMsgCheckQuorum:
      check_quorum(core);
      break;
    case MessageType::kMsgProp:
      return step_propose(core, message);
    case MessageType::kMsgReadIndex:
      handle_read_index(core, {message.from, std::move(message.entries)}, message.term);
      break;
    case MessageType::kMsgForgetLeader:
      break;  // we are the one
    default:
      step_member(core, *core.leader(), message);
      break;
  }
  return absl::OkStatus();
}

}  // namespace keelson::raft
