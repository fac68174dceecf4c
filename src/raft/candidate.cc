#include "raft/candidate.h"

#include "raft/election.h"
#include "raft/follower.h"

namespace keelson::raft {
namespace {

// A candidate may still get answers to the pre-election before it.
bool answers_our_campaign(const Core& core, MessageType type) {
  return type == (core.state() == StateType::kPreCandidate ? MessageType::kMsgPreVoteResp
                                                           : MessageType::kMsgVoteResp);
}

}  // namespace

absl::Status step_candidate(Core& core, Message message) {
  switch (message.type) {
    case MessageType::kMsgProp:
      return propose_to_candidate(core);
    case MessageType::kMsgApp:
      become_follower(core, message.term, message.from);
      handle_append(core, message);
      break;
    case MessageType::kMsgHeartbeat:
      become_follower(core, message.term, message.from);
      handle_heartbeat(core, message);
      break;
    case MessageType::kMsgSnap:
      become_follower(core, message.term, message.from);
      handle_snapshot(core, message);
      break;
    case MessageType::kMsgVoteResp:
    case MessageType::kMsgPreVoteResp:
      if (answers_our_campaign(core, message.type)) handle_vote_response(core, message);
      break;
    case MessageType::kMsgTimeoutNow:
      core.lines.debug(core.options.id, " [term ", core.term, " state ", core.state(),
                       "] ignored MsgTimeoutNow from ", message.from);
      break;
    default:
      break;
  }
  return absl::OkStatus();
}

absl::Status propose_to_candidate(Core& core) {
  core.lines.info(core.options.id, " no leader at term ", core.term, "; dropping proposal");
  return proposal_dropped_error();
}

}  // namespace keelson::raft
