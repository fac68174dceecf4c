// raft/replicate.h
//
// Replication by the leader: what is sent to whom and when, and what the answers mean (Raft paper
// 5.3; the states of a follower are in tracker/progress.h). REQUIRES everywhere: leader.

#pragma once

#include "raft/core.h"

namespace keelson::raft {

tracker::Limits limits_of(const Core& core);

// An append (or a snapshot, if the log no longer reaches back) to everyone who may get one.
void broadcast_append(Core& core);
// The same, but only where there are entries to send.
void broadcast_entries(Core& core);
// A heartbeat to everyone, with the newest waiting read.
void broadcast_heartbeat(Core& core);
// To one. With `if_empty` also without entries, to announce the commit index or to probe. False if
// nothing was sent.
bool send_append(Core& core, MemberId to, tracker::Progress& progress, bool if_empty);

// Commits what a quorum holds, if it is of this term. True if the commit index moved.
bool maybe_commit(Core& core);

void handle_append_response(Core& core, Leader& leader, tracker::Progress& progress,
                            const Message& message);
void handle_heartbeat_response(Core& core, tracker::Progress& progress, const Message& message);
void handle_snapshot_status(Core& core, tracker::Progress& progress, const Message& message);
void handle_unreachable(Core& core, tracker::Progress& progress, const Message& message);

}  // namespace keelson::raft
