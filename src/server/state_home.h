// server/state_home.h
//
// StateHome is where a member's stores lie: "<data-dir>/member/keelson", and for each snapshot that
// came from another member one more beside it, "keelson.<n>", until one of them is what the member
// goes on with and the others are removed (docs/decisions/0013).
//
// Threads: open(), bind(), replaced() and closing() as they say; what peer/snapshot_home.h names,
//   as there. The rest of it locks.
// Crashes: a start finds every store that was whole, and takes the one that the log goes with
//   (node::choose_store).

#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "backend/rocks/rocks_backend.h"
#include "node/node.h"
#include "node/recovery.h"
#include "peer/snapshot_home.h"
#include "wal/snap_files.h"

namespace keelson::server {

class StateHome final : public peer::SnapshotHome {
 public:
  // `options` of every store that is opened here.
  StateHome(std::string data_dir, backend::RocksOptions options);

  // The store that the member goes on with; what is left of snapshots that were on their way is
  // removed. At start. NotFound: none fits the log.
  absl::StatusOr<std::shared_ptr<backend::Backend>> open(const node::RecoveryOptions& log);
  // The log that open() went by is durable as it was found: the other stores are removed.
  void chosen_for_good();
  // Whose consensus is told of snapshots; its log is open. What they say of the members is written
  // into `files`. Before the network starts.
  void bind(node::Node& node, wal::SnapFiles& files);
  // The node goes on with the state that was installed last: what it had before is removed when
  // nobody reads it any more. On the apply lane.
  void replaced();
  // What copy_store() does, with one of the member's stores.
  absl::StatusOr<std::unique_ptr<peer::StoreCopy>> copy_of(backend::Backend& store);
  // From now on nothing is removed: what is dropped may be what the next start needs. Any thread.
  void closing();

  std::string directory() const override { return member_dir_ + "/snap"; }
  absl::StatusOr<std::shared_ptr<backend::Backend>> new_store() override;
  std::string store_form() const override { return backend::store_form(options_); }
  absl::StatusOr<std::unique_ptr<peer::StoreCopy>> copy_store() override;
  absl::StatusOr<std::string> new_store_files() override;
  absl::StatusOr<std::shared_ptr<backend::Backend>> open_store_files(
      const std::string& directory) override;
  absl::Status check_store(backend::Backend& store, const std::function<bool()>& goes_on) override;
  void drop_store_files(const std::string& directory) override;
  mvcc::StoreOptions store_options() const override { return node_->store_options(); }
  absl::Status check(const node::ReceivedState& state) override { return node_->check(state); }
  void install(raft::Message message, node::ReceivedState state, Task taken) override;

 private:
  struct Places;
  struct Closer;
  class Copy;

  std::string next_place();
  absl::StatusOr<std::string> make_place();

  absl::StatusOr<std::shared_ptr<backend::Backend>> open_at(const std::string& dir,
                                                            const backend::RocksOptions& options);
  absl::StatusOr<std::shared_ptr<backend::Backend>> open_needed(
      const std::vector<std::string>& dirs, const node::RecoveryOptions& log);

  const std::string member_dir_;
  const backend::RocksOptions options_;
  const std::shared_ptr<Places> places_;  // shared with the stores, which outlive this
  std::vector<std::shared_ptr<backend::Backend>>
      not_needed_;  // between open() and the choice's end
  node::Node* node_ = nullptr;
  wal::SnapFiles* files_ = nullptr;
};

// The names of a member's stores in "<data-dir>/member", whole or not.
std::vector<std::string> store_names(const std::string& member_dir);
// Whether there is a store in `dir`, or only part of one. One that was made of a snapshot is whole
// when it says that there is a log; until then it holds anything.
bool is_store(const std::string& dir);

}  // namespace keelson::server
