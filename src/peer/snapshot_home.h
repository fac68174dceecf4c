// peer/snapshot_home.h
//
// SnapshotHome is where a snapshot that another member sends comes to: the place for its file, a
// store beside the present one for what is in it, and the consensus that takes both
// (docs/decisions/0013). And it is where a copy of the member's own store comes from, for another
// member that has stores of the same form (docs/decisions/0024).
//
// Threads: as each method says. Lifetime: outlives the Network's stop().

#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "base/executor.h"
#include "mvcc/store.h"
#include "node/received_state.h"
#include "raft/types.h"

namespace keelson::peer {

// A copy of the member's store, complete and immutable, as files. It goes with this.
class StoreCopy {
 public:
  virtual ~StoreCopy() = default;
  virtual const std::string& directory() const = 0;
  // What the message of a snapshot says of it.
  virtual std::shared_ptr<const raft::Snapshot> snapshot() const = 0;
};

class SnapshotHome {
 public:
  virtual ~SnapshotHome() = default;
  // Where the file of a database lies while it comes: "<data-dir>/member/snap". It is there. What a
  // crash leaves in it are "tmp…" and "<index>.snap.db"; the next start may remove them.
  virtual std::string directory() const = 0;
  // A new, empty store. Whoever drops it without having installed it leaves nothing behind. On a
  // worker thread; may take long.
  virtual absl::StatusOr<std::shared_ptr<backend::Backend>> new_store() = 0;
  // What the member's store files are made by: a member that says the same can open them. Empty:
  // there are none, to give or to take, and what follows is not called. Any thread.
  virtual std::string store_form() const { return {}; }
  // The others on a worker thread; they may take long.
  // Of the newest state. An error says why there is none now.
  virtual absl::StatusOr<std::unique_ptr<StoreCopy>> copy_store();
  // A new, empty directory for the files of a store; for one of the two calls below.
  virtual absl::StatusOr<std::string> new_store_files();
  // Opens what came, once it is all there. Whoever drops it without having installed it leaves
  // nothing behind. After an error the directory is still there.
  virtual absl::StatusOr<std::shared_ptr<backend::Backend>> open_store_files(
      const std::string& directory);
  // Reads every block of it: DataLoss for one that is not as it was written. Beside other reads;
  // until `goes_on` says no, with Cancelled.
  virtual absl::Status check_store(backend::Backend& store, const std::function<bool()>& goes_on) {
    return absl::OkStatus();
  }
  virtual void drop_store_files(const std::string& directory) {}

  // Of the store that is opened on it.
  virtual mvcc::StoreOptions store_options() const = 0;
  // Node::check(). On a worker thread.
  virtual absl::Status check(const node::ReceivedState& state) = 0;
  // For Consensus::receive_snapshot(). On the peer loop; `taken` is to be called once, on any
  // thread, when consensus has looked at it: the sender goes on with the log then.
  virtual void install(raft::Message message, node::ReceivedState state, Task taken) = 0;
};

inline absl::StatusOr<std::unique_ptr<StoreCopy>> SnapshotHome::copy_store() {
  return absl::UnimplementedError("no store files");
}
inline absl::StatusOr<std::string> SnapshotHome::new_store_files() {
  return absl::UnimplementedError("no store files");
}
inline absl::StatusOr<std::shared_ptr<backend::Backend>> SnapshotHome::open_store_files(
    const std::string&) {
  return absl::UnimplementedError("no store files");
}

}  // namespace keelson::peer
