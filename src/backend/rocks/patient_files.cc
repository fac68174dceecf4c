#include "backend/rocks/patient_files.h"

#include <chrono>
#include <thread>

namespace keelson::backend::rocks {
namespace {

using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;

constexpr auto kRetry = std::chrono::milliseconds(200);

// Writes by position only: after a write that was cut short, the same bytes go to the same place.
class PatientFile final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  PatientFile(std::unique_ptr<rocksdb::FSWritableFile> file, PatientFiles* files)
      : rocksdb::FSWritableFileOwnerWrapper(std::move(file)), files_(*files) {}

  IOStatus Append(const rocksdb::Slice& data, const IOOptions& options,
                  IODebugContext* debug) override {
    IOStatus status =
        files_.patiently([&] { return target()->PositionedAppend(data, size_, options, debug); });
    if (status.ok()) size_ += data.size();
    return status;
  }
  IOStatus Append(const rocksdb::Slice& data, const IOOptions& options,
                  const rocksdb::DataVerificationInfo&, IODebugContext* debug) override {
    return Append(data, options, debug);
  }
  IOStatus Truncate(uint64_t size, const IOOptions& options, IODebugContext* debug) override {
    IOStatus status = target()->Truncate(size, options, debug);
    if (status.ok()) size_ = size;
    return status;
  }

 private:
  PatientFiles& files_;
  uint64_t size_ = 0;
};

}  // namespace

PatientFiles::PatientFiles(std::function<void(bool full)> tell)
    : rocksdb::FileSystemWrapper(rocksdb::FileSystem::Default()), tell_(std::move(tell)) {}

IOStatus PatientFiles::NewWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                                       std::unique_ptr<rocksdb::FSWritableFile>* result,
                                       IODebugContext* debug) {
  IOStatus status =
      patiently([&] { return target()->NewWritableFile(name, options, result, debug); });
  if (status.ok()) *result = std::make_unique<PatientFile>(std::move(*result), this);
  return status;
}

IOStatus PatientFiles::patiently(const std::function<IOStatus()>& write) {
  IOStatus status = write();
  if (!status.IsNoSpace() || !patient_) return status;
  if (waiting_.fetch_add(1) == 0) tell_(true);
  while (status.IsNoSpace() && patient_) {
    std::this_thread::sleep_for(kRetry);
    status = write();
  }
  if (waiting_.fetch_sub(1) == 1 && status.ok()) tell_(false);
  return status;
}

}  // namespace keelson::backend::rocks
