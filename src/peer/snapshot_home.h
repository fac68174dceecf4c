// peer/snapshot_home.h
//
// SnapshotHome is where a snapshot that another member sends comes to: the place for its file, a
// store beside the present one for what is in it, and the consensus that takes both
// (docs/decisions/0013).
//
// Threads: as each method says. Lifetime: outlives the Network's stop().

#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "base/executor.h"
#include "mvcc/store.h"
#include "node/received_state.h"
#include "raft/types.h"

namespace keelson::peer {

class SnapshotHome {
 public:
  virtual ~SnapshotHome() = default;
  // Where the file of a database lies while it comes: "<data-dir>/member/snap". It is there. What a
  // crash leaves in it are "tmp…" and "<index>.snap.db"; the next start may remove them.
  virtual std::string directory() const = 0;
  // A new, empty store. Whoever drops it without having installed it leaves nothing behind. On a
  // worker thread; may take long.
  virtual absl::StatusOr<std::shared_ptr<backend::Backend>> new_store() = 0;
  // Of the store that is opened on it.
  virtual mvcc::StoreOptions store_options() const = 0;
  // Node::check(). On a worker thread.
  virtual absl::Status check(const node::ReceivedState& state) = 0;
  // For Consensus::receive_snapshot(). On the peer loop; `taken` is to be called once, on any
  // thread, when consensus has looked at it: the sender goes on with the log then.
  virtual void install(raft::Message message, node::ReceivedState state, Task taken) = 0;
};

}  // namespace keelson::peer
