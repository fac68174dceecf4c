// raft/step.h
//
// The entrance: time and messages. Here terms are compared (Raft paper 5.1); what a message means
// is up to the role, or to its subject where the role does not matter.

#pragma once

#include "absl/status/status.h"
#include "raft/core.h"

namespace keelson::raft {

// One tick of the clock.
void tick(Core& core);

// One message, from a peer, from local storage or from this member itself.
// Error: proposal_dropped_error().
absl::Status step(Core& core, Message message);

// Proposals for whatever role; moves from `entries` if they are taken.
absl::Status propose(Core& core, MemberId from, std::span<Entry> entries);

// The application has applied everything up to `index`, `size` encoded bytes of it since the last
// time. A leader then leaves a joint configuration that asks for it.
void applied_to(Core& core, Index index, uint64_t size);

}  // namespace keelson::raft
