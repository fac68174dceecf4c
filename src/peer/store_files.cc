#include "peer/store_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <utility>

#include "base/check.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"
#include "membership/cluster.h"
#include "node/recovery.h"
#include "peer/file_error.h"

namespace keelson::peer {

namespace {

// What is written is sent to the disk in pieces of this size, so that little is left to wait for
// and nobody else's sync has to wait for a lot of it.
constexpr uint64_t kToDisk = 1 << 20;

}  // namespace

void StoreFiles::remove() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  if (!directory_.empty()) parts().home->drop_store_files(std::exchange(directory_, {}));
}

absl::Status StoreFiles::take(std::string_view bytes) {
  if (directory_.empty()) {
    absl::StatusOr<std::string> directory = parts().home->new_store_files();
    if (!directory.ok()) return directory.status();
    directory_ = *std::move(directory);
    KEELSON_FAILPOINT("peer_store_files_begun");
  }
  return decoder_.take(bytes);
}

absl::Status StoreFiles::begin_file(const StoreFile& file) {
  CHECK(fd_ < 0);
  const std::string path = cat(directory_, "/", file.name);
  const std::string above = std::filesystem::path(path).parent_path();
  if (above != directory_ && ::mkdir(above.c_str(), 0700) != 0 && errno != EEXIST) {
    return file_error("create", above);
  }
  fd_ = ::open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
  if (fd_ < 0) return file_error("create", path);
  written_.push_back(path);
  size_ = begun_ = 0;
  return absl::OkStatus();
}

absl::Status StoreFiles::file_bytes(std::string_view bytes) {
  CHECK(fd_ >= 0);
  if (absl::Status s = write_all(fd_, bytes, written_.back()); !s.ok()) return s;
  size_ += bytes.size();
  if (size_ - begun_ < kToDisk) return absl::OkStatus();
  // What becomes of it, the sync says.
  ::sync_file_range(fd_, static_cast<off_t>(begun_), static_cast<off_t>(size_ - begun_),
                    SYNC_FILE_RANGE_WRITE);
  begun_ = size_;
  return absl::OkStatus();
}

absl::Status StoreFiles::end_file() {
  CHECK(fd_ >= 0);
  if (::close(std::exchange(fd_, -1)) != 0) return file_error("close", written_.back());
  return absl::OkStatus();
}

absl::Status StoreFiles::sync(const std::string& path, int flags) const {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | flags);
  if (fd < 0) return file_error("open", path);
  const bool synced = ::fsync(fd) == 0;
  const absl::Status status = synced ? absl::OkStatus() : file_error("sync", path);
  ::close(fd);
  return status;
}

absl::Status StoreFiles::all_taken() {
  if (absl::Status s = decoder_.finish(); !s.ok()) return s;
  return check_current();
}

// RocksDB goes wherever it says, and by the number that it says.
absl::Status StoreFiles::check_current() const {
  std::ifstream in(cat(directory_, "/CURRENT"), std::ios::binary);
  std::string name;
  const bool read = static_cast<bool>(std::getline(in, name));
  const bool whole = read && !in.eof() && in.peek() == std::ifstream::traits_type::eof();
  const bool came =
      std::find(written_.begin(), written_.end(), cat(directory_, "/", name)) != written_.end();
  if (whole && came && name.starts_with("MANIFEST-")) return absl::OkStatus();
  return absl::DataLossError("CURRENT does not name a manifest that came");
}

// What RocksDB has written there meanwhile, it has synced itself.
absl::Status StoreFiles::settle(backend::Backend& store) {
  for (const std::string& path : written_) {
    if (cancelled()) return absl::CancelledError("not wanted any more");
    // A head file is a copy: whoever finds it torn goes without. What has been merged since, or
    // made anew, is gone.
    if (path.ends_with(".heads")) continue;
    absl::Status s = sync(path, 0);
    if (!s.ok() && !absl::IsNotFound(s)) return s;
  }
  if (absl::Status s = sync(store_, O_DIRECTORY); !s.ok()) return s;
  KEELSON_FAILPOINT("peer_store_files_synced");
  log::info("saved database snapshot to disk", {{"path", store_}, {"files", written_.size()}});
  return parts().home->check_store(store, [this] { return !cancelled(); });
}

absl::StatusOr<std::shared_ptr<backend::Backend>> StoreFiles::make_store() {
  absl::StatusOr<std::shared_ptr<backend::Backend>> store =
      parts().home->open_store_files(directory_);
  if (!store.ok()) return store.status();
  store_ = std::exchange(directory_, {});
  KEELSON_FAILPOINT("peer_store_files_open");
  const raft::SnapshotMetadata& at = parts().at;
  if ((*store)->consistent_index() != at.index || (*store)->consistent_term() != at.term) {
    return absl::DataLossError(cat("the store that came stands at entry ",
                                   (*store)->consistent_index().value, " of term ",
                                   (*store)->consistent_term().value, ", and not at ",
                                   at.index.value, " of term ", at.term.value));
  }
  membership::Cluster members(ClusterId(0));
  if (absl::Status s = members.restore(**store); !s.ok()) return s;
  if (node::conf_state_of(members.view()->members) != at.conf_state) {
    return absl::DataLossError("the store that came has other members than its message says");
  }
  return store;
}

}  // namespace keelson::peer
