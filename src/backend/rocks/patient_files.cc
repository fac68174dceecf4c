#include "backend/rocks/patient_files.h"

#include <cerrno>
#include <filesystem>

#include "backend/rocks/status.h"
#include "backend/rocks/torn_manifest.h"

namespace keelson::backend::rocks {
namespace {

using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;

// Writes by position only: after a write that was cut short, the same bytes go to the same place.
//
// A write that failed for good is reported by the sync and the close, not by the write itself:
// RocksDB relies on nothing before they succeed, and a build with assertions, as Debian's, aborts
// when it writes to a file once more after an error, as its table builder does.
class PatientFile final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  PatientFile(std::unique_ptr<rocksdb::FSWritableFile> file, PatientFiles* files, bool waits,
              bool manifest)
      : rocksdb::FSWritableFileOwnerWrapper(std::move(file)),
        files_(*files),
        waits_(waits),
        manifest_(manifest) {}

  IOStatus Append(const rocksdb::Slice& data, const IOOptions& options,
                  IODebugContext* debug) override {
    if (!failed_.ok()) return IOStatus::OK();
    failed_ = files_.patiently(
        [&] { return target()->PositionedAppend(data, size_, options, debug); }, waits_);
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
    return failed_.ok() ? closed : failed_;
  }

 private:
  IOStatus told(IOStatus status) {
    if (manifest_ && !status.ok()) files_.doubt_manifest();
    return status;
  }

  PatientFiles& files_;
  const bool waits_;  // for space
  const bool manifest_;
  uint64_t size_ = 0;
  IOStatus failed_;  // once set, nothing is written any more
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
                           std::function<void(bool full)> tell, const Waits& waits)
    : rocksdb::FileSystemWrapper(std::move(files)), tell_(std::move(tell)), waits_(waits) {}

void PatientFiles::be_patient() {
  std::lock_guard lock(mutex_);
  patient_ = true;
}

void PatientFiles::stop() {
  std::lock_guard lock(mutex_);
  patient_ = false;
  stopped_.notify_all();
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
    *result = std::make_unique<PatientFile>(std::move(*result), this, waits, is_manifest(name));
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
  return patiently([&] { return target()->NewRandomAccessFile(name, options, result, debug); });
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
  if (manifest_in_doubt_ && name.ends_with(".sst")) return IOStatus::OK();
  return target()->DeleteFile(name, options, debug);
}

IOStatus PatientFiles::patiently(const std::function<IOStatus()>& attempt, bool for_space) {
  auto passes = [&](const IOStatus& status) {
    return (for_space && status.IsNoSpace()) || is_out_of_handles(status);
  };
  IOStatus status = name_no_space(attempt());
  if (!passes(status)) return status;
  std::unique_lock lock(mutex_);
  if (!patient_) return status;
  const bool first = waiting_++ == 0;
  lock.unlock();
  if (first) tell_(true);
  lock.lock();
  while (passes(status) && patient_) {
    stopped_.wait_for(lock, waits_.for_space(), [this] { return !patient_; });
    lock.unlock();
    status = name_no_space(attempt());
    lock.lock();
  }
  const bool last = --waiting_ == 0;
  lock.unlock();
  if (last && status.ok()) tell_(false);
  return status;
}

}  // namespace keelson::backend::rocks
