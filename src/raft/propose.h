// raft/propose.h
//
// Proposals at the leader: accepted, refused or blanked, numbered and appended to its log (Raft
// paper 5.3; thesis 4.1 for changes of configuration).

#pragma once

#include <span>

#include "absl/status/status.h"
#include "raft/core.h"

namespace keelson::raft {

// Appends all of `entries` (moving from them) and sends them out, or none:
// proposal_dropped_error(). REQUIRES: leader.
absl::Status propose_to_leader(Core& core, std::span<Entry> entries);

// Gives the entries our term and the next indexes. False, and nothing done, if the limit of
// uncommitted bytes forbids. REQUIRES: leader.
bool append_entries(Core& core, std::span<Entry> entries);

// Proposes the empty change that leaves a joint configuration. REQUIRES: leader.
void leave_joint_automatically(Core& core);

// Entries were applied, so they no longer count against the limit.
void reduce_uncommitted_size(Leader& leader, const Entries& applied);

}  // namespace keelson::raft
