#include "backend/rocks/reserve.h"

#include <algorithm>
#include <utility>

#include "backend/rocks/patient_files.h"
#include "base/check.h"
#include "base/log.h"
#include "base/text.h"

namespace keelson::backend::rocks {

using rocksdb::IOStatus;

namespace {

// An open writes a manifest and a file of options, of 50 KB.
constexpr int kStarts = 4;
constexpr uint64_t kPerStart = 256 << 10;
// Of a small reserve a start gets so much: 1 / kStartShare.
constexpr uint64_t kStartShare = 16;
// Of the reserve merges leave 1 / kRoomShare: they could go on to the last byte, and what they free
// comes at their end only. Not much more: without merges nothing comes free.
constexpr uint64_t kRoomShare = 16;

}  // namespace

Reserve::Reserve(std::shared_ptr<rocksdb::FileSystem> files, const std::string& directory,
                 uint64_t bytes, const Waits& waits, std::function<void(bool)> tell)
    : files_(std::move(files)),
      directory_(directory),
      path_(cat(directory, "/KEELSON.reserve")),
      tell_(std::move(tell)),
      waits_(waits),
      bytes_(bytes) {}

void Reserve::stop() {
  if (worker_) worker_->stop();
}

Reserve::Piece Reserve::for_start(int i) const {
  return {cat(path_, ".start-", i), std::min(kPerStart, bytes_ / kStartShare)};
}

// It may be there from an earlier run.
bool Reserve::is_there(const Piece& piece) const {
  uint64_t there = 0;
  return files_->GetFileSize(piece.path, {}, &there, nullptr).ok() && there == piece.bytes;
}

// One of another size, of another version, is in nobody's hands for a moment.
IOStatus Reserve::take(const Piece& piece) {
  if (is_there(piece)) return IOStatus::OK();
  rocksdb::FileOptions options;
  options.fallocate_with_keep_size = false;  // its size tells the next open that it is whole
  std::unique_ptr<rocksdb::FSWritableFile> file;
  IOStatus status = files_->NewWritableFile(piece.path, options, &file, nullptr);
  if (status.ok()) status = file->Allocate(0, piece.bytes, {}, nullptr);
  if (file) {
    IOStatus closed = file->Close({}, nullptr);
    if (status.ok()) status = closed;
  }
  if (!status.ok()) files_->DeleteFile(piece.path, {}, nullptr).PermitUncheckedError();
  return name_no_space(status);
}

IOStatus Reserve::take_all() {
  for (int i = 0; i < kStarts; ++i) {
    if (IOStatus status = take(for_start(i)); !status.ok()) return status;
  }
  return take(main());
}

void Reserve::take_first() {
  CHECK(!worker_);
  CHECK(!is_short());
  if (bytes_ == 0) return;
  const IOStatus taken = take_all();
  if (!taken.ok() && !taken.IsNoSpace()) {
    log::warn("backend: no space can be kept in reserve here", {{"error", taken.ToString()}});
    bytes_ = 0;
    return;
  }
  worker_.emplace("backend-reserve", waits_, [this](bool) {
    try_again();
    return absl::OkStatus();
  });
  if (!taken.ok()) give_away();
}

// An open that needed some of it has removed what it took the place of.
void Reserve::opened() {
  if (bytes_ == 0) return;
  std::lock_guard lock(mutex_);
  CHECK(!open_);
  open_ = true;
  for (int i = 0; i < kStarts; ++i) {
    if (IOStatus status = take(for_start(i)); !status.ok()) {
      log::warn("backend: the disk is full, and what is kept of it for starts was used up in part",
                {{"starts-left", i}, {"error", status.ToString()}});
      return;
    }
  }
}

// REQUIRES: mutex_ is held.
bool Reserve::give_for_start() {
  for (int i = kStarts - 1; i >= 0; --i) {
    if (is_there(for_start(i))) {
      log::warn("backend: the disk is full; opening the store in what was kept for that",
                {{"bytes", for_start(i).bytes}});
      return files_->DeleteFile(for_start(i).path, {}, nullptr).ok();
    }
  }
  return false;
}

bool Reserve::leaves_room(uint64_t bytes) const {
  if (!is_short()) return true;
  return has_free(bytes + bytes_ / kRoomShare);
}

bool Reserve::give_away() {
  if (bytes_ == 0) return false;
  std::lock_guard lock(mutex_);
  if (is_short()) return !open_ && give_for_start();
  CHECK(worker_.has_value());
  files_->DeleteFile(path_, {}, nullptr).PermitUncheckedError();
  log::error("backend: the disk is full; using what was kept in reserve, and refusing writes",
             {{"bytes", bytes_.load()}});
  to_pass_ = pause_ = 0;
  short_.store(true, std::memory_order_release);
  tell_(true);
  worker_->soon();
  return true;
}

bool Reserve::may_fit() const {
  uint64_t wanted = is_there(main()) ? 0 : bytes_.load();
  for (int i = 0; i < kStarts; ++i) wanted += is_there(for_start(i)) ? 0 : for_start(i).bytes;
  return has_free(wanted);
}

// Of the directory: the file may not be there.
bool Reserve::has_free(uint64_t bytes) const {
  uint64_t free = 0;
  return !files_->GetFreeSpace(directory_, {}, &free, nullptr).ok() || free >= bytes;
}

// A look costs next to nothing, a try makes a file and a name.
void Reserve::try_again() {
  std::lock_guard lock(mutex_);
  if (!is_short()) return;
  CHECK(to_pass_ <= pause_);
  if (!may_fit()) return worker_->soon();
  if (to_pass_ > 0 && --to_pass_ > 0) return worker_->soon();
  if (const IOStatus taken = take_all(); !taken.ok()) {
    if (pause_ == 0) {
      log::warn(
          "backend: the disk does not give the space that it says it has; trying again, ever "
          "more rarely",
          {{"bytes", bytes_.load()}, {"error", taken.ToString()}});
    }
    pause_ = std::clamp(2 * pause_, 1, kMostPause);
    to_pass_ = pause_;
    return worker_->soon();
  }
  log::info("backend: the disk has space again, some of it kept in reserve",
            {{"bytes", bytes_.load()}});
  short_.store(false, std::memory_order_release);
  tell_(false);
}

}  // namespace keelson::backend::rocks
