// raft/follower.h
//
// What a follower does with each message: it follows the leader of its term, hands on what is the
// leader's business, and stands for election when told to.

#pragma once

#include <span>

#include "absl/status/status.h"
#include "raft/core.h"

namespace keelson::raft {

// REQUIRES: follower; message.term is ours or 0.
absl::Status step_follower(Core& core, Message message);
// Hands the proposal on to the leader, if there is one and forwarding is allowed.
absl::Status propose_to_follower(Core& core, MemberId from, std::span<Entry> entries);

// The leader's messages; a candidate that has just become its follower does the same.
void handle_append(Core& core, const Message& message);
void handle_heartbeat(Core& core, const Message& message);
void handle_snapshot(Core& core, const Message& message);

}  // namespace keelson::raft
