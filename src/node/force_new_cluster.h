// node/force_new_cluster.h
//
// --force-new-cluster: a member whose cluster has lost its quorum for good goes on alone, with all
// that its log holds, and with changes behind it that leave nobody but this member. All of it
// counts as committed: what was acknowledged with this member's help is in its log, but the commit
// index that covers it comes to the log only with later entries. (etcd drops what is behind the
// commit index that it finds.) What nobody has acknowledged may come to be; who asked for it was
// not told.
//
// It is not safe: what others acknowledged and this member does not hold is lost, and were they to
// come back there would be two clusters of one id.
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
