// raft/membership.h
//
// Changes of configuration as they are applied, and the state that a snapshot brings (Raft paper 6
// and 7; thesis 4).

#pragma once

#include "raft/confchange/changer.h"
#include "raft/core.h"

namespace keelson::raft {

// Puts an applied change in force. A change that makes no sense here is reported through
// Logger::panic and changes nothing.
ConfState apply_conf_change(Core& core, const ConfChangeV2& change);

// Puts `next` in force, with what follows for a leader: commits and probes, or steps down.
ConfState switch_to_config(Core& core, confchange::Next next);

// Replaces log and configuration by the snapshot's. False if it is old, or not for us.
bool restore_snapshot(Core& core, const SnapshotPtr& snapshot);

}  // namespace keelson::raft
