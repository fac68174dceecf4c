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

namespace keelson::peer {

namespace {

absl::Status file_error(std::string_view what, const std::string& path) {
  return absl::ErrnoToStatus(errno, to_absl(cat(what, " ", path)));
}

}  // namespace

SnapshotFile::~SnapshotFile() { remove(); }

void SnapshotFile::remove() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  if (!path_.empty()) ::unlink(std::exchange(path_, {}).c_str());
}

// One at a time and in order, as the workers keep it for an owner.
void SnapshotFile::run(absl::AnyInvocable<void()> job) {
  parts_.workers->go_on(reinterpret_cast<uintptr_t>(this),
                        [self = shared_from_this(), job = std::move(job)](int) mutable { job(); });
}

template <typename Body>
void SnapshotFile::tell(Body body) {
  parts_.loop->post([self = shared_from_this(), body = std::move(body)]() mutable {
    if (!self->cancelled_) return body();
    // What it holds may be a whole store, whose end is no work for the loop.
    self->run([body = std::move(body)] {});
  });
}

void SnapshotFile::cancel() {
  cancelled_ = true;
  written_ = nullptr;
  // To let go of a large file takes the file system its time.
  run([this] { remove(); });
}

// --- the file --------------------------------------------------------------------------------

void SnapshotFile::write(std::string bytes) {
  waiting_ += bytes.size();
  size_ += bytes.size();
  run([this, bytes = std::move(bytes)] {
    const bool had_failed = !error_.ok();
    if (!had_failed && !cancelled_) write_now(bytes);
    tell([this, size = bytes.size(), had_failed, error = error_] {
      waiting_ -= size;
      if (!had_failed && written_) written_(error);
    });
  });
}

void SnapshotFile::write_now(std::string_view bytes) {
  if (fd_ < 0) error_ = open();
  while (error_.ok() && !bytes.empty()) {
    const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
    if (n >= 0) {
      bytes.remove_prefix(static_cast<size_t>(n));
    } else if (errno != EINTR) {
      error_ = file_error("write", path_);
    }
  }
}

absl::Status SnapshotFile::open() {
  std::string path = cat(parts_.home->directory(), "/tmpXXXXXX");
  fd_ = ::mkostemp(path.data(), O_CLOEXEC);
  if (fd_ < 0) return file_error("create", path);
  path_ = std::move(path);
  return absl::OkStatus();
}

// It need not be durable: a store is made of it, which is.
absl::Status SnapshotFile::close() {
  if (!error_.ok()) return error_;
  if (::close(std::exchange(fd_, -1)) != 0) return file_error("close", path_);
  const std::string name =
      cat(parts_.home->directory(), "/", absl::StrFormat("%016x.snap.db", parts_.at.index.value));
  if (::rename(path_.c_str(), name.c_str()) != 0) return file_error("rename", path_);
  path_ = name;
  return absl::OkStatus();
}

// --- the store -------------------------------------------------------------------------------

void SnapshotFile::finish(absl::AnyInvocable<void()> saved, Made made) {
  run([this, saved = std::move(saved), made = std::move(made)]() mutable {
    if (cancelled_) return;
    const absl::Status closed = close();
    if (closed.ok()) {
      log::info("saved database snapshot to disk",
                {{"path", path_}, {"bytes", size_}, {"size", size_text(size_)}});
      tell(std::move(saved));
    }
    absl::StatusOr<node::ReceivedState> state =
        closed.ok() ? make_state() : absl::StatusOr<node::ReceivedState>(closed);
    remove();
    tell([made = std::move(made), state = std::move(state)]() mutable { made(std::move(state)); });
  });
}

absl::StatusOr<node::ReceivedState> SnapshotFile::make_state() {
  absl::StatusOr<std::unique_ptr<boltfile::File>> file = boltfile::File::open(path_);
  if (!file.ok()) return file.status();
  absl::StatusOr<std::shared_ptr<backend::Backend>> store = parts_.home->new_store();
  if (!store.ok()) return store.status();
  absl::StatusOr<interchange::ReadResult> read = interchange::read_database(
      **file, store->get(),
      {.position = interchange::Position{parts_.at.index, parts_.at.term},
       .conf_state = parts_.at.conf_state,
       .progress = [this](const interchange::ReadProgress&) { return !cancelled_; }});
  if (!read.ok()) return read.status();
  for (const std::string& bucket : read->left_out) {
    log::warn("left a bucket out that is none of etcd's", {{"bucket", bucket}});
  }
  if (absl::Status noted = (*store)->note_log(); !noted.ok()) return noted;
  absl::StatusOr<std::unique_ptr<mvcc::Store>> opened =
      mvcc::Store::open(store->get(), parts_.home->store_options());
  if (!opened.ok()) return opened.status();
  node::ReceivedState state{.index = parts_.at.index,
                            .term = parts_.at.term,
                            .backend = *std::move(store),
                            .store = *std::move(opened)};
  if (absl::Status s = parts_.home->check(state); !s.ok()) return s;
  return state;
}

}  // namespace keelson::peer
