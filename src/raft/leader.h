// raft/leader.h
//
// What a leader does with each tick and message. The subjects are elsewhere: proposals (propose.h),
// replication (replicate.h), reads (reads.h), transfer of leadership (transfer.h).

#pragma once

#include "absl/status/status.h"
#include "raft/core.h"

namespace keelson::raft {

// The leader's clock: heartbeats, the check of the quorum, the end of a transfer that hangs.
void tick_leader(Core& core);

// REQUIRES: leader; message.term is ours or 0.
absl::Status step_leader(Core& core, Message message);

}  // namespace keelson::raft
