#include "backend/rocks/regular_files.h"

#include <sys/stat.h>

#include <string>
#include <utility>

namespace keelson::backend::rocks {
namespace {

using rocksdb::FileOptions;
using rocksdb::IODebugContext;
using rocksdb::IOStatus;

// What is not there is for the open to say.
IOStatus check_regular(const std::string& name) {
  struct stat found;
  if (::stat(name.c_str(), &found) != 0 || S_ISREG(found.st_mode)) return IOStatus::OK();
  return IOStatus::IOError(name, "it is no regular file");
}

class RegularFiles final : public rocksdb::FileSystemWrapper {
 public:
  using rocksdb::FileSystemWrapper::FileSystemWrapper;

  static const char* kClassName() { return "KeelsonRegularFiles"; }
  const char* Name() const override { return kClassName(); }

  IOStatus NewSequentialFile(const std::string& name, const FileOptions& options,
                             std::unique_ptr<rocksdb::FSSequentialFile>* file,
                             IODebugContext* debug) override {
    IOStatus status = check_regular(name);
    return status.ok() ? target()->NewSequentialFile(name, options, file, debug) : status;
  }
  IOStatus NewRandomAccessFile(const std::string& name, const FileOptions& options,
                               std::unique_ptr<rocksdb::FSRandomAccessFile>* file,
                               IODebugContext* debug) override {
    IOStatus status = check_regular(name);
    return status.ok() ? target()->NewRandomAccessFile(name, options, file, debug) : status;
  }
  IOStatus NewWritableFile(const std::string& name, const FileOptions& options,
                           std::unique_ptr<rocksdb::FSWritableFile>* file,
                           IODebugContext* debug) override {
    IOStatus status = check_regular(name);
    return status.ok() ? target()->NewWritableFile(name, options, file, debug) : status;
  }
  IOStatus ReopenWritableFile(const std::string& name, const FileOptions& options,
                              std::unique_ptr<rocksdb::FSWritableFile>* file,
                              IODebugContext* debug) override {
    IOStatus status = check_regular(name);
    return status.ok() ? target()->ReopenWritableFile(name, options, file, debug) : status;
  }
  IOStatus LockFile(const std::string& name, const rocksdb::IOOptions& options,
                    rocksdb::FileLock** lock, IODebugContext* debug) override {
    IOStatus status = check_regular(name);
    return status.ok() ? target()->LockFile(name, options, lock, debug) : status;
  }
};

}  // namespace

std::shared_ptr<rocksdb::FileSystem> regular_files() {
  static const auto* const files = new std::shared_ptr<rocksdb::FileSystem>(
      std::make_shared<RegularFiles>(rocksdb::FileSystem::Default()));
  return *files;
}

}  // namespace keelson::backend::rocks
