// raft/scenarios/handlers.h
//
// The three kinds of scenario files. Each maker gives the handler for one file; it keeps the state
// between the file's commands.

#pragma once

#include "raft/scenarios/script.h"

namespace keelson::raft::scenarios {

// Which kind a file is shows in its commands.
enum class Kind { kInteraction, kQuorum, kConfChange };
Kind kind_of(const Script& script);

// committed, vote: the arithmetic of quorums, each result cross-checked.
Handler quorum_handler();
// simple, enter-joint, leave-joint: one configuration, changed step by step.
Handler conf_change_handler();
// Members, their storage and the messages between them.
Handler interaction_handler();

Handler handler_for(Kind kind);

}  // namespace keelson::raft::scenarios
