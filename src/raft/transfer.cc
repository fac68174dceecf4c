#include "raft/transfer.h"

#include "raft/replicate.h"

namespace keelson::raft {
namespace {

// False if the request is for the transfer that is under way already.
bool end_previous(Core& core, Leader& leader, MemberId transferee) {
  const MemberId previous = leader.transferee;
  if (previous == kNobody) return true;
  if (previous == transferee) {
    core.lines.info(core.options.id, " [term ", core.term, "] transfer leadership to ", transferee,
                    " is in progress, ignores request to same node ", transferee);
    return false;
  }
  leader.transferee = kNobody;
  core.lines.info(core.options.id, " [term ", core.term,
                  "] abort previous transferring leadership to ", previous);
  return true;
}

}  // namespace

void handle_transfer(Core& core, Leader& leader, tracker::Progress& progress, MemberId transferee) {
  const MemberId id = core.options.id;
  if (progress.is_learner()) {
    core.lines.debug(id, " is learner. Ignored transferring leadership");
    return;
  }
  if (!end_previous(core, leader, transferee)) return;
  if (transferee == id) {
    core.lines.debug(id, " is already leader. Ignored transferring leadership to self");
    return;
  }
  core.lines.info(id, " [term ", core.term, "] starts to transfer leadership to ", transferee);
  // It has one election timeout from now.
  core.election_elapsed = 0;
  leader.transferee = transferee;
  if (progress.match() == core.log->last_index()) {
    send_timeout_now(core, transferee);
    core.lines.info(id, " sends MsgTimeoutNow to ", transferee, " immediately as ", transferee,
                    " already has up-to-date log");
  } else {
    send_append(core, transferee, progress, true);
  }
}

void send_timeout_now(Core& core, MemberId to) {
  core.send({.type = MessageType::kMsgTimeoutNow, .to = to});
}

}  // namespace keelson::raft
