// raft/candidate.h
//
// What a candidate (of either kind) does with each message: it counts votes, and yields to a leader
// of its own term.

#pragma once

#include "absl/status/status.h"
#include "raft/core.h"

namespace keelson::raft {

// REQUIRES: candidate or pre-candidate; message.term is ours or 0, or a granted pre-vote's.
absl::Status step_candidate(Core& core, Message message);
absl::Status propose_to_candidate(Core& core);

}  // namespace keelson::raft
