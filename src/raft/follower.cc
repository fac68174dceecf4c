#include "raft/follower.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "raft/election.h"
#include "raft/membership.h"
#include "raft/plant.h"

namespace keelson::raft {
namespace {

Follower& follower(Core& core) { return std::get<Follower>(core.role); }

// Its sender leads this term, and is alive.
void heard_from_leader(Core& core, MemberId lead) {
  core.election_elapsed = 0;
  follower(core).lead = lead;
}

absl::Status refuse_proposal(const Core& core) {
  const MemberId lead = core.lead();
  if (lead == kNobody) {
    core.lines.info(core.options.id, " no leader at term ", core.term, "; dropping proposal");
  } else {
    core.lines.info(core.options.id, " not forwarding to leader ", lead, " at term ", core.term,
                    "; dropping proposal");
  }
  return proposal_dropped_error();
}

bool takes_proposals(const Core& core) {
  return core.lead() != kNobody && !core.options.disable_proposal_forwarding;
}

absl::Status forward_proposal(Core& core, Message message) {
  if (!takes_proposals(core)) return refuse_proposal(core);
  core.forward(std::move(message), core.lead());
  return absl::OkStatus();
}

void forward_or_drop(Core& core, Message message, std::string_view what) {
  const MemberId lead = core.lead();
  if (lead == kNobody) {
    core.lines.info(core.options.id, " no leader at term ", core.term, "; dropping ", what, " msg");
    return;
  }
  core.forward(std::move(message), lead);
}

void forget_leader(Core& core) {
  if (core.options.read_only_option == ReadOnlyOption::kLeaseBased) {
    // The leader may be answering reads on the strength of our not voting.
    core.lines.error("ignoring MsgForgetLeader due to ReadOnlyLeaseBased");
    return;
  }
  Follower& role = follower(core);
  if (role.lead == kNobody) return;
  core.lines.info(core.options.id, " forgetting leader ", role.lead, " at term ", core.term);
  role.lead = kNobody;
}

void start_transfer_election(Core& core, const Message& message) {
  core.lines.info(core.options.id, " [term ", core.term, "] received MsgTimeoutNow from ",
                  message.from, " and starts an election to get leadership.");
  campaign_if_possible(core, Campaign::kTransfer);
}

void read_index_answered(Core& core, const Message& message) {
  if (message.entries.size() != 1) {
    core.lines.error(core.options.id, " invalid format of MsgReadIndexResp from ", message.from,
                     ", entries count: ", message.entries.size());
    return;
  }
  core.read_states.push_back({message.index, message.entries[0].data});
}

// The hint saves the leader from probing index by index: no entry of ours above it can match, since
// all of those have terms higher than the leader's log has at that point.
void reject_append(Core& core, const Message& message) {
  core.lines.debug(core.options.id, " [logterm: ", core.log->term(message.index).value_or(Term(0)),
                   ", index: ", message.index, "] rejected MsgApp [logterm: ", message.log_term,
                   ", index: ", message.index, "] from ", message.from);
  const EntryId hint = core.log->find_conflict_by_term(
      std::min(message.index, core.log->last_index()), message.log_term);
  Message answer{.type = MessageType::kMsgAppResp, .reject = true, .to = message.from};
  answer.index = message.index;
  answer.reject_hint = hint.index;
  answer.log_term = hint.term;
  core.send(std::move(answer));
}

void acknowledge(Core& core, MemberId to, Index index) {
  Message answer{.type = MessageType::kMsgAppResp, .to = to};
  answer.index = index;
  core.send(std::move(answer));
}

}  // namespace

absl::Status step_follower(Core& core, Message message) {
  switch (message.type) {
    case MessageType::kMsgProp:
      return forward_proposal(core, std::move(message));
    case MessageType::kMsgApp:
      heard_from_leader(core, message.from);
      handle_append(core, message);
      break;
    case MessageType::kMsgHeartbeat:
      heard_from_leader(core, message.from);
      handle_heartbeat(core, message);
      break;
    case MessageType::kMsgSnap:
      heard_from_leader(core, message.from);
      handle_snapshot(core, message);
      break;
    case MessageType::kMsgTransferLeader:
      forward_or_drop(core, std::move(message), "leader transfer");
      break;
    case MessageType::kMsgReadIndex:
      message.term = Term(0);  // if it had one, of whoever sent it here
      forward_or_drop(core, std::move(message), "index reading");
      break;
    case MessageType::kMsgForgetLeader:
      forget_leader(core);
      break;
    case MessageType::kMsgTimeoutNow:
      start_transfer_election(core, message);
      break;
    case MessageType::kMsgReadIndexResp:
      read_index_answered(core, message);
      break;
    default:
      break;
  }
  return absl::OkStatus();
}

absl::Status propose_to_follower(Core& core, MemberId from, std::span<Entry> entries) {
  if (!takes_proposals(core)) return refuse_proposal(core);
  Message message{.type = MessageType::kMsgProp, .from = from};
  message.entries = Entries(entries);
  core.forward(std::move(message), core.lead());
  return absl::OkStatus();
}

void handle_append(Core& core, const Message& message) {
  const LogSlice slice{{message.log_term, message.index}, message.entries};
  if (!slice.well_formed(message.term)) {
    // No correct leader sends such a thing; taking it would corrupt our log.
    core.lines.error(core.options.id, " dropped MsgApp from ", message.from, ": entries after ",
                     slice.prev.index, " are not consistent with leader term ", message.term);
    return;
  }
  if (slice.prev.index < core.log->committed() && !planted(Plant::kTruncatePastCommit)) {
    // An old message. What is committed cannot differ, so say how far we are.
    acknowledge(core, message.from, core.log->committed());
  } else if (auto last = core.log->maybe_append(slice, message.commit)) {
    acknowledge(core, message.from, *last);
  } else {
    reject_append(core, message);
  }
}

void handle_heartbeat(Core& core, const Message& message) {
  core.log->commit_to(message.commit);
  core.send(
      {.type = MessageType::kMsgHeartbeatResp, .to = message.from, .context = message.context});
}

void handle_snapshot(Core& core, const Message& message) {
  static const SnapshotPtr kEmpty = std::make_shared<const Snapshot>();
  const SnapshotPtr& snapshot = message.snapshot ? message.snapshot : kEmpty;
  const SnapshotMetadata& meta = snapshot->metadata;
  const bool restored = restore_snapshot(core, snapshot);
  core.lines.info(core.options.id, " [commit: ", core.log->committed(), "] ",
                  restored ? "restored" : "ignored", " snapshot [index: ", meta.index,
                  ", term: ", meta.term, "]");
  acknowledge(core, message.from, restored ? core.log->last_index() : core.log->committed());
}

}  // namespace keelson::raft
