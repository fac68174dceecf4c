#include "peer/snapshot_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/log.h"
#include "base/size_text.h"
#include "base/text.h"
#include "boltfile/file.h"
#include "interchange/database_reader.h"
#include "peer/file_error.h"

namespace keelson::peer {

void SnapshotFile::remove() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  if (!path_.empty()) ::unlink(std::exchange(path_, {}).c_str());
}

absl::Status SnapshotFile::take(std::string_view bytes) {
  if (fd_ < 0) {
    std::string path = cat(parts().home->directory(), "/tmpXXXXXX");
    fd_ = ::mkostemp(path.data(), O_CLOEXEC);
    if (fd_ < 0) return file_error("create", path);
    path_ = std::move(path);
  }
  written_ += bytes.size();
  return write_all(fd_, bytes, path_);
}

// It need not be durable: a store is made of it, which is.
absl::Status SnapshotFile::all_taken() {
  if (::close(std::exchange(fd_, -1)) != 0) return file_error("close", path_);
  const std::string name =
      cat(parts().home->directory(), "/", absl::StrFormat("%016x.snap.db", parts().at.index.value));
  if (::rename(path_.c_str(), name.c_str()) != 0) return file_error("rename", path_);
  path_ = name;
  log::info("saved database snapshot to disk",
            {{"path", path_}, {"bytes", written_}, {"size", size_text(written_)}});
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<backend::Backend>> SnapshotFile::make_store() {
  absl::StatusOr<std::unique_ptr<boltfile::File>> file = boltfile::File::open(path_);
  if (!file.ok()) return file.status();
  absl::StatusOr<std::shared_ptr<backend::Backend>> store = parts().home->new_store();
  if (!store.ok()) return store.status();
  absl::StatusOr<interchange::ReadResult> read = interchange::read_database(
      **file, store->get(),
      {.position = interchange::Position{parts().at.index, parts().at.term},
       .conf_state = parts().at.conf_state,
       .progress = [this](const interchange::ReadProgress&) { return !cancelled(); }});
  if (!read.ok()) return read.status();
  for (const std::string& bucket : read->left_out) {
    log::warn("left a bucket out that is none of etcd's", {{"bucket", bucket}});
  }
  return store;
}

}  // namespace keelson::peer
