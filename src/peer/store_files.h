// peer/store_files.h
//
// StoreFiles are the files of a store that come from another member in the form that this one has:
// written where a store of this member may lie, and opened there.
//
// Order and crashes: all of them are durable, and every block of them was read, before the store
//   notes that there is a log to it; until then a start takes it for none and removes it
//   (docs/decisions/0024).
//   Failpoints: peer_store_files_begun, peer_store_files_synced, peer_store_files_open.
// Errors: what the body does not allow; DataLoss for what is damaged, or stands elsewhere than its
//   message says.

#pragma once

#include <string>
#include <vector>

#include "peer/incoming_state.h"
#include "peer/store_body.h"

namespace keelson::peer {

class StoreFiles final : public IncomingState, private StoreFilesSink {
 public:
  explicit StoreFiles(Parts parts) : IncomingState(std::move(parts)) {}
  ~StoreFiles() override { StoreFiles::remove(); }

 private:
  absl::Status take(std::string_view bytes) override;
  absl::Status all_taken() override;
  absl::StatusOr<std::shared_ptr<backend::Backend>> make_store() override;
  absl::Status settle(backend::Backend& store) override;
  void remove() override;

  absl::Status begin_file(const StoreFile& file) override;
  absl::Status file_bytes(std::string_view bytes) override;
  absl::Status end_file() override;
  absl::Status sync(const std::string& path, int flags) const;
  absl::Status check_current() const;

  StoreFilesDecoder decoder_{this};
  std::string directory_;             // empty: none was made, or it has become a store
  std::string store_;                 // where that is, then
  std::vector<std::string> written_;  // paths in it, then in the store
  int fd_ = -1;                       // of the last of them, while it comes
  uint64_t size_ = 0, begun_ = 0;  // of that: written, and on its way to the disk; begun_ <= size_
};

}  // namespace keelson::peer
