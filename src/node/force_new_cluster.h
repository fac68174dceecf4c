// node/force_new_cluster.h
//
// --force-new-cluster: a member whose cluster has lost its quorum for good goes on alone, with what
// it knows to be committed. What its log has beyond is dropped, and changes are put into the log,
// as if they were committed, that leave nobody but this member.
//
// It is not safe: what others acknowledged and this member did not know to be committed is lost,
// and were they to come back there would be two clusters of one id.
// Threads: before the lanes start.
// Source: etcd v3.7.1, bootstrapWALFromSnapshot and CreateConfigChangeEnts.

#pragma once

#include "absl/status/status.h"
#include "backend/backend.h"
#include "node/recovery.h"
#include "raft/types.h"

namespace keelson::node {

// Durable when this returns. `state`: as found; then as it is now.
// REQUIRES: found->applied <= state->commit <= found->storage->last().
absl::Status force_new_cluster(const backend::Backend& backend, Recovered* found,
                               raft::HardState* state);

}  // namespace keelson::node
