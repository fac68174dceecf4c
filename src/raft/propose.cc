#include "raft/propose.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "raft/describe.h"
#include "raft/replicate.h"

namespace keelson::raft {
namespace {

// Why `change` must not follow what is in force or pending; empty if it may. Best effort: what is
// in force here may trail the log.
std::string objection(const Core& core, const Leader& leader, const ConfChangeV2& change) {
  const bool leaves = change.changes.empty();
  const bool joint = core.config.voters.is_joint();
  if (leader.pending_conf_index > core.log->applied()) {
    return cat("possible unapplied conf change at index ", leader.pending_conf_index.value,
               " (applied to ", core.log->applied().value, ")");
  }
  if (joint && !leaves) return "must transition out of joint config first";
  if (!joint && leaves) return "not in joint state; refusing empty conf change";
  return "";
}

// Blanks the change in `entry` if it is not allowed now; notes it as pending at `index` otherwise.
// False if it cannot be read.
bool admit_conf_change(Core& core, Leader& leader, Entry& entry, Index index) {
  absl::StatusOr<ConfChangeV2> change = conf_change_of(entry);
  if (!change.ok()) {
    core.lines.panic(message_of(change.status()));
    return false;
  }
  const std::string why = objection(core, leader, *change);
  if (why.empty() || core.options.disable_conf_change_validation) {
    leader.pending_conf_index = index;
    return true;
  }
  core.lines.info(core.options.id, " ignoring conf change ", describe(*change), " at config ",
                  tracker::to_string(core.config), ": ", why);
  entry = Entry{.type = EntryType::kNormal, .type_set = true};
  return true;
}

// Empty payloads are never refused: a new leader's first entry, the way out of a joint
// configuration. Nor is anything while the uncommitted tail is empty, however large.
bool within_uncommitted_limit(const Core& core, const Leader& leader, uint64_t size) {
  if (leader.uncommitted_size == 0 || size == 0) return true;
  return leader.uncommitted_size + size <= core.options.max_uncommitted_entries_size;
}

absl::Status admit(Core& core, Leader& leader, std::span<Entry> entries) {
  if (entries.empty()) {
    core.lines.panic(core.options.id, " stepped empty MsgProp");
    return proposal_dropped_error();
  }
  // Removed while leading: what we append would never be replicated by us again.
  if (!core.config.contains(core.options.id)) return proposal_dropped_error();
  if (leader.transferee != kNobody) {
    core.lines.debug(core.options.id, " [term ", core.term, "] transfer leadership to ",
                     leader.transferee, " is in progress; dropping proposal");
    return proposal_dropped_error();
  }
  Index index = core.log->last_index();
  for (Entry& entry : entries) {
    ++index;
    if (!is_conf_change(entry.type)) continue;
    if (!admit_conf_change(core, leader, entry, index)) return proposal_dropped_error();
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status propose_to_leader(Core& core, std::span<Entry> entries) {
  absl::Status admitted = admit(core, *core.leader(), entries);
  if (!admitted.ok()) return admitted;
  if (!append_entries(core, entries)) return proposal_dropped_error();
  broadcast_append(core);
  return absl::OkStatus();
}

bool append_entries(Core& core, std::span<Entry> entries) {
  Leader& leader = *core.leader();
  const uint64_t size = payload_size(entries);
  if (!within_uncommitted_limit(core, leader, size)) {
    core.lines.warning(core.options.id,
                       " appending new entries to log would exceed uncommitted entry size limit; "
                       "dropping proposal");
    return false;
  }
  leader.uncommitted_size += size;

  core.log->reserve(entries.size());
  Index index = core.log->last_index();
  for (Entry& entry : entries) {
    entry.term = core.term;
    entry.index = ++index;
    core.log->push(std::move(entry));
  }
  // Our own acknowledgement, which counts like a follower's once the entries are durable.
  Message acknowledgement{.type = MessageType::kMsgAppResp, .to = core.options.id};
  acknowledgement.index = index;
  core.send(std::move(acknowledgement));
  return true;
}

void leave_joint_automatically(Core& core) {
  Entry entry{.type = EntryType::kConfChangeV2, .type_set = true};
  const auto config = [&core] { return tracker::to_string(core.config); };
  // A transfer under way refuses it; the next application of entries tries again.
  absl::Status status = propose_to_leader(core, std::span(&entry, 1));
  if (status.ok()) {
    core.lines.info("initiating automatic transition out of joint configuration ", config);
  } else {
    core.lines.debug("not initiating automatic transition out of joint configuration ", config,
                     ": ", message_of(status));
  }
}

void reduce_uncommitted_size(Leader& leader, const Entries& applied) {
  leader.uncommitted_size -= std::min(leader.uncommitted_size, payload_size(applied));
}

}  // namespace keelson::raft
