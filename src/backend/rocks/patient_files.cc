#include "backend/rocks/patient_files.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "backend/rocks/status.h"
#include "backend/rocks/torn_manifest.h"
#include "base/check.h"

namespace keelson::backend::rocks {
namespace {

using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;

bool is_table(const std::string& name) { return name.ends_with(".sst"); }

// Writes by position only: after a write that was cut short, the same bytes go to the same place.
//
// A write that failed for good is reported by the sync and the close, not by the write itself:
// RocksDB relies on nothing before they succeed, and a build with assertions, as Debian's, aborts
// when it writes to a file once more after an error, as its table builder does.
class PatientFile final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  PatientFile(std::unique_ptr<rocksdb::FSWritableFile> file, std::string name, PatientFiles* files,
              bool waits)
      : rocksdb::FSWritableFileOwnerWrapper(std::move(file)),
        name_(std::move(name)),
        files_(*files),
        waits_(waits),
        manifest_(is_manifest(name_)) {}

  IOStatus Append(const rocksdb::Slice& data, const IOOptions& options,
                  IODebugContext* debug) override {
    if (!failed_.ok()) return IOStatus::OK();
    if (!waits_ && !files_.merge_may_write(data.size())) {
      failed_ = IOStatus::NoSpace("what is left is not for merges", name_);
    } else {
      failed_ = files_.patiently(
          [&] { return target()->PositionedAppend(data, size_, options, debug); }, waits_);
    }
    if (failed_.ok()) {
      size_ += data.size();
    } else if (!waits_) {
      // A merge's output, which nobody will read: its space is given back now. Any other file may
      // have synced records before the failed one.
      target()->Truncate(0, options, debug).PermitUncheckedError();
    }
    return IOStatus::OK();
  }
  IOStatus Append(const rocksdb::Slice& data, const IOOptions& options,
                  const rocksdb::DataVerificationInfo&, IODebugContext* debug) override {
    return Append(data, options, debug);
  }
  // Nothing is taken ahead for a merge: what fits may be all that is left, and of what does not a
  // file system (ext4) may keep what it got.
  void PrepareWrite(size_t at, size_t bytes, const IOOptions& options,
                    IODebugContext* debug) override {
    if (waits_) target()->PrepareWrite(at, bytes, options, debug);
  }
  IOStatus Truncate(uint64_t size, const IOOptions& options, IODebugContext* debug) override {
    if (!failed_.ok()) return failed_;
    IOStatus status = target()->Truncate(size, options, debug);
    if (status.ok()) size_ = size;
    return status;
  }
  IOStatus Flush(const IOOptions& options, IODebugContext* debug) override {
    return failed_.ok() ? target()->Flush(options, debug) : IOStatus::OK();
  }
  IOStatus RangeSync(uint64_t at, uint64_t bytes, const IOOptions& options,
                     IODebugContext* debug) override {
    return failed_.ok() ? target()->RangeSync(at, bytes, options, debug) : IOStatus::OK();
  }
  IOStatus Sync(const IOOptions& options, IODebugContext* debug) override {
    return told(failed_.ok() ? name_no_space(target()->Sync(options, debug)) : failed_);
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    return told(failed_.ok() ? name_no_space(target()->Fsync(options, debug)) : failed_);
  }
  IOStatus Close(const IOOptions& options, IODebugContext* debug) override {
    IOStatus closed = target()->Close(options, debug);
    if (!failed_.ok()) return failed_;
    if (closed.ok() && is_table(name_)) files_.note_table(name_, size_);
    return closed;
  }

 private:
  IOStatus told(IOStatus status) {
    if (manifest_ && !status.ok()) files_.doubt_manifest();
    return status;
  }

  const std::string name_;
  PatientFiles& files_;
  const bool waits_;  // for space
  const bool manifest_;
  uint64_t size_ = 0;
  IOStatus failed_;  // once set, nothing is written any more
};

// A table is written once and then never changes. What is missing of it is damage like any other:
// RocksDB takes a read that comes short for the end of the file, and a build with assertions, as
// Debian's, aborts over what it makes of that.
class WholeFile final : public rocksdb::FSRandomAccessFileOwnerWrapper {
 public:
  WholeFile(std::unique_ptr<rocksdb::FSRandomAccessFile> file, std::string name, uint64_t size)
      : rocksdb::FSRandomAccessFileOwnerWrapper(std::move(file)),
        name_(std::move(name)),
        size_(size) {}

  IOStatus Read(uint64_t at, size_t size, const IOOptions& options, rocksdb::Slice* result,
                char* scratch, IODebugContext* debug) const override {
    IOStatus status = target()->Read(at, size, options, result, scratch, debug);
    return status.ok() ? check(at, size, result) : status;
  }
  IOStatus MultiRead(rocksdb::FSReadRequest* requests, size_t count, const IOOptions& options,
                     IODebugContext* debug) override {
    IOStatus status = target()->MultiRead(requests, count, options, debug);
    for (size_t i = 0; i < count; ++i) {
      rocksdb::FSReadRequest& one = requests[i];
      if (one.status.ok()) one.status = check(one.offset, one.len, &one.result);
    }
    return status;
  }

 private:
  IOStatus check(uint64_t at, size_t size, rocksdb::Slice* result) const {
    const uint64_t there = at < size_ ? std::min<uint64_t>(size, size_ - at) : 0;
    if (result->size() >= there) return IOStatus::OK();
    *result = rocksdb::Slice();
    return IOStatus::Corruption("the file became shorter while it was open", name_);
  }

  const std::string name_;
  const uint64_t size_;  // when it was written, or opened
};

}  // namespace

IOStatus name_no_space(IOStatus status) {
  if (!says(status, EDQUOT)) return status;
  IOStatus named = IOStatus::NoSpace(status.getState());
  named.SetRetryable(true);
  return named;
}

bool is_out_of_handles(const IOStatus& status) {
  return says(status, EMFILE) || says(status, ENFILE);
}

PatientFiles::PatientFiles(std::shared_ptr<rocksdb::FileSystem> files,
                           std::function<void(bool full)> tell, std::function<bool()> make_room,
                           std::function<bool(uint64_t bytes)> merge_leaves_room,
                           const Waits& waits)
    : rocksdb::FileSystemWrapper(std::move(files)),
      tell_(std::move(tell)),
      make_room_(std::move(make_room)),
      merge_leaves_room_(std::move(merge_leaves_room)),
      waits_(waits) {}

void PatientFiles::be_patient() {
  std::lock_guard lock(mutex_);
  patient_ = true;
}

void PatientFiles::stop() {
  std::lock_guard lock(mutex_);
  patient_ = false;
  stopped_.notify_all();
}

void PatientFiles::note_table(const std::string& name, uint64_t size) {
  std::lock_guard lock(mutex_);
  tables_[name] = size;
}

bool PatientFiles::merge_may_write(uint64_t bytes) {
  {
    std::lock_guard lock(mutex_);
    if (for_space_ > 0) return false;
  }
  return merge_leaves_room_(bytes);
}

void PatientFiles::expect_merge_output(const std::string& name) {
  std::lock_guard lock(mutex_);
  merge_outputs_.insert(name);
}

IOStatus PatientFiles::NewWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                                       std::unique_ptr<rocksdb::FSWritableFile>* result,
                                       IODebugContext* debug) {
  bool waits = true;
  {
    std::lock_guard lock(mutex_);
    waits = merge_outputs_.erase(name) == 0;
  }
  IOStatus status =
      patiently([&] { return target()->NewWritableFile(name, options, result, debug); }, waits);
  if (status.ok()) {
    *result = std::make_unique<PatientFile>(std::move(*result), name, this, waits);
  }
  return status;
}

IOStatus PatientFiles::NewSequentialFile(const std::string& name,
                                         const rocksdb::FileOptions& options,
                                         std::unique_ptr<rocksdb::FSSequentialFile>* result,
                                         IODebugContext* debug) {
  IOStatus status = target()->NewSequentialFile(name, options, result, debug);
  return status.ok() && is_manifest(name) ? show_whole_part(*target(), name, result) : status;
}

IOStatus PatientFiles::NewRandomAccessFile(const std::string& name,
                                           const rocksdb::FileOptions& options,
                                           std::unique_ptr<rocksdb::FSRandomAccessFile>* result,
                                           IODebugContext* debug) {
  IOStatus status =
      patiently([&] { return target()->NewRandomAccessFile(name, options, result, debug); });
  uint64_t size = 0;
  if (status.ok()) status = target()->GetFileSize(name, IOOptions(), &size, debug);
  if (!status.ok()) return status;
  {
    std::lock_guard lock(mutex_);
    auto written = tables_.find(name);
    if (written != tables_.end()) size = std::max(size, written->second);
  }
  *result = std::make_unique<WholeFile>(std::move(*result), name, size);
  return status;
}

IOStatus PatientFiles::RenameFile(const std::string& from, const std::string& to,
                                  const IOOptions& options, IODebugContext* debug) {
  IOStatus renamed = patiently([&] { return target()->RenameFile(from, to, options, debug); });
  if (!renamed.ok() && to.ends_with("/CURRENT")) doubt_manifest();
  return renamed;
}

IOStatus PatientFiles::DeleteFile(const std::string& name, const IOOptions& options,
                                  IODebugContext* debug) {
  const std::filesystem::path path(name);
  if (path.filename().string().starts_with("MANIFEST-")) {
    std::string current;
    IOStatus read = rocksdb::ReadFileToString(target(), path.parent_path() / "CURRENT", &current);
    // Only a CURRENT that names another, or none at all, lets it go.
    if (!read.ok() && !read.IsNotFound() && !read.IsPathNotFound()) return read;
    if (read.ok() && current == path.filename().string() + "\n") {
      return IOStatus::IOError("CURRENT names it", name);
    }
  }
  if (is_table(name)) {
    if (manifest_in_doubt_) return IOStatus::OK();
    std::lock_guard lock(mutex_);
    tables_.erase(name);
  }
  return target()->DeleteFile(name, options, debug);
}

IOStatus PatientFiles::patiently(const std::function<IOStatus()>& attempt, bool for_space) {
  auto passes = [&](const IOStatus& status) {
    return (for_space && status.IsNoSpace()) || is_out_of_handles(status);
  };
  // What was made room for may have gone to somebody else.
  auto attempt_with_room = [&] {
    IOStatus status = name_no_space(attempt());
    while (status.IsNoSpace() && make_room_()) status = name_no_space(attempt());
    return status;
  };
  IOStatus status = attempt_with_room();
  if (!passes(status)) return status;
  std::unique_lock lock(mutex_);
  if (!patient_) return status;
  const bool first = waiting_++ == 0;
  const int space = status.IsNoSpace() ? 1 : 0;
  for_space_ += space;
  lock.unlock();
  if (first) tell_(true);
  lock.lock();
  while (passes(status) && patient_) {
    stopped_.wait_for(lock, waits_.for_space(), [this] { return !patient_; });
    lock.unlock();
    status = attempt_with_room();
    lock.lock();
  }
  const bool last = --waiting_ == 0;
  for_space_ -= space;
  CHECK(0 <= for_space_ && for_space_ <= waiting_);
  lock.unlock();
  if (last && status.ok()) tell_(false);
  return status;
}

}  // namespace keelson::backend::rocks
