#include "archive/snapshot_writer.h"

#include <utility>

#include "base/check.h"
#include "base/failpoint.h"
#include "base/text.h"

namespace keelson::archive {
namespace {

constexpr size_t kBuffer = 1 << 20;
constexpr uint64_t kSyncEvery = 8 << 20;

}  // namespace

// The bytes on their way to the disk, and their sum.
class SnapshotWriter::File final : public boltfile::Sink {
 public:
  explicit File(std::unique_ptr<wal::File> file) : file_(std::move(file)) {}

  absl::Status write(std::string_view bytes) override {
    sum_.update(bytes);
    return append(bytes);
  }
  absl::Status finish() {
    if (absl::Status s = append(sum_.finish()); !s.ok()) return s;
    if (absl::Status s = flush(); !s.ok()) return s;
    return file_->fsync();
  }

 private:
  absl::Status append(std::string_view bytes) {
    buffer_.append(bytes);
    return buffer_.size() < kBuffer ? absl::OkStatus() : flush();
  }
  absl::Status flush() {
    if (absl::Status s = file_->pwrite(written_, buffer_); !s.ok()) return s;
    written_ += buffer_.size();
    buffer_.clear();
    if (written_ - synced_ < kSyncEvery) return absl::OkStatus();
    synced_ = written_;
    return file_->fdatasync();
  }

  const std::unique_ptr<wal::File> file_;
  boltfile::Sha256 sum_;
  std::string buffer_;
  uint64_t written_ = 0;
  uint64_t synced_ = 0;  // <= written_
};

SnapshotWriter::SnapshotWriter(wal::FileSystem& fs, std::string stretch,
                               std::shared_ptr<const backend::Snapshot> state, int64_t revision)
    : fs_(fs),
      stretch_(std::move(stretch)),
      state_(std::move(state)),
      name_{revision, state_->consistent_index()},
      term_(state_->consistent_term()),
      writer_(std::make_unique<interchange::DatabaseWriter>(state_)) {}

SnapshotWriter::~SnapshotWriter() {
  file_.reset();
  if (begun_) fs_.unlink(cat(stretch_, "/", to_string(name_), kUnfinished)).IgnoreError();
}

absl::StatusOr<bool> SnapshotWriter::step(uint64_t bytes) {
  if (written_) return true;
  if (!file_) {
    absl::StatusOr<bool> planned = writer_->plan_step(bytes);
    if (!planned.ok()) return planned;
    if (!*planned) return false;
    size_ = writer_->size() + boltfile::kSha256Size;
    if (absl::Status s = begin_file(); !s.ok()) return s;
    return false;
  }
  absl::StatusOr<bool> done = writer_->write_step(bytes, *file_);
  if (!done.ok() || !*done) return done;
  if (absl::Status s = file_->finish(); !s.ok()) return s;
  written_ = true;
  KEELSON_FAILPOINT("archive_snapshot_written");
  return true;
}

absl::Status SnapshotWriter::begin_file() {
  const std::string path = cat(stretch_, "/", to_string(name_), kUnfinished);
  absl::StatusOr<std::unique_ptr<wal::File>> file = fs_.open(path, wal::OpenMode::kCreateEmpty);
  if (!file.ok()) return file.status();
  begun_ = true;
  file_ = std::make_unique<File>(*std::move(file));
  return absl::OkStatus();
}

absl::Status SnapshotWriter::finish() {
  CHECK(written_);
  file_.reset();
  const std::string path = cat(stretch_, "/", to_string(name_));
  if (absl::Status s = fs_.rename(path + std::string(kUnfinished), path); !s.ok()) return s;
  begun_ = false;
  absl::Status s = fs_.sync_dir(stretch_);
  KEELSON_FAILPOINT("archive_snapshot_named");
  return s;
}

}  // namespace keelson::archive
