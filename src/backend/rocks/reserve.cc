#include "backend/rocks/reserve.h"

#include <algorithm>
#include <utility>

#include "backend/rocks/patient_files.h"
#include "base/check.h"
#include "base/log.h"
#include "base/text.h"

namespace keelson::backend::rocks {

using rocksdb::IOStatus;

Reserve::Reserve(std::shared_ptr<rocksdb::FileSystem> files, const std::string& directory,
                 uint64_t bytes, const Waits& waits, std::function<void(bool)> tell)
    : files_(std::move(files)),
      path_(cat(directory, "/KEELSON.reserve")),
      tell_(std::move(tell)),
      waits_(waits),
      bytes_(bytes) {}

void Reserve::stop() {
  if (worker_) worker_->stop();
}

// The file may be there from an earlier run. It is taken anew, for this version's size, only where
// it has another: for a moment it is in nobody's hands then.
IOStatus Reserve::take() {
  uint64_t there = 0;
  if (files_->GetFileSize(path_, {}, &there, nullptr).ok() && there == bytes_) {
    return IOStatus::OK();
  }
  rocksdb::FileOptions options;
  options.fallocate_with_keep_size = false;  // its size tells the next open that it is whole
  std::unique_ptr<rocksdb::FSWritableFile> file;
  IOStatus status = files_->NewWritableFile(path_, options, &file, nullptr);
  if (status.ok()) status = file->Allocate(0, bytes_, {}, nullptr);
  if (file) {
    IOStatus closed = file->Close({}, nullptr);
    if (status.ok()) status = closed;
  }
  if (!status.ok()) files_->DeleteFile(path_, {}, nullptr).PermitUncheckedError();
  return name_no_space(status);
}

void Reserve::take_first() {
  CHECK(!worker_);
  CHECK(!is_short());
  if (bytes_ == 0) return;
  const IOStatus taken = take();
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

bool Reserve::give_away() {
  if (bytes_ == 0) return false;
  std::lock_guard lock(mutex_);
  if (is_short()) return false;
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
  uint64_t free = 0;
  return !files_->GetFreeSpace(path_, {}, &free, nullptr).ok() || free >= bytes_;
}

// A look costs next to nothing, a try makes a file and a name.
void Reserve::try_again() {
  std::lock_guard lock(mutex_);
  if (!is_short()) return;
  CHECK(to_pass_ <= pause_);
  if (!may_fit()) return worker_->soon();
  if (to_pass_ > 0 && --to_pass_ > 0) return worker_->soon();
  if (const IOStatus taken = take(); !taken.ok()) {
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
