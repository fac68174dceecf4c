// peer/snapshot_file.h
//
// SnapshotFile is a database that comes from another member: written to a file as it arrives, then
// made into a store (interchange/database_reader.h).
//
// Names: as etcd's, "tmp…" while it comes and "<index>.snap.db" once it is whole.

#pragma once

#include <string>

#include "peer/incoming_state.h"

namespace keelson::peer {

class SnapshotFile final : public IncomingState {
 public:
  explicit SnapshotFile(Parts parts) : IncomingState(std::move(parts)) {}
  ~SnapshotFile() override { SnapshotFile::remove(); }

 private:
  absl::Status take(std::string_view bytes) override;
  absl::Status all_taken() override;
  absl::StatusOr<std::shared_ptr<backend::Backend>> make_store() override;
  void remove() override;

  int fd_ = -1;
  std::string path_;  // empty: there is no file
  uint64_t written_ = 0;
};

}  // namespace keelson::peer
