#include "backend/rocks/high_water.h"

#include <cerrno>
#include <filesystem>
#include <utility>

#include "backend/rocks/status.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/text.h"

namespace keelson::backend::rocks {
namespace {

using rocksdb::IOOptions;
using rocksdb::IOStatus;

constexpr size_t kIndexSize = 8;

std::string encode(Index index) {
  std::string out = big64(index.value);
  return out + big32(crc32c::extend(0, out));
}

IOStatus sync_directory(rocksdb::FileSystem& files, const std::string& directory) {
  std::unique_ptr<rocksdb::FSDirectory> opened;
  IOStatus status = files.NewDirectory(directory, IOOptions(), &opened, nullptr);
  if (!status.ok()) return status;
  return opened->Fsync(IOOptions(), nullptr);
}

std::string parent_of(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path();
  return parent.empty() ? "." : parent;
}

}  // namespace

IOStatus sync_names(rocksdb::FileSystem& files, std::string directory) {
  while (true) {
    IOStatus status = sync_directory(files, directory);
    if (says(status, EACCES)) return IOStatus::OK();
    std::string parent = parent_of(directory);
    if (!status.ok() || parent == directory) return status;
    directory = std::move(parent);
  }
}

HighWater::HighWater(std::shared_ptr<rocksdb::FileSystem> files, const std::string& directory)
    : files_(std::move(files)), path_(directory + "/KEELSON.durable"), directory_(directory) {}

bool HighWater::is_there() const { return files_->FileExists(path_, IOOptions(), nullptr).ok(); }

absl::StatusOr<Index> HighWater::load() const {
  std::string data;
  IOStatus read = rocksdb::ReadFileToString(files_.get(), path_, &data);
  if (read.IsNotFound() || read.IsPathNotFound()) return Index(0);
  if (!read.ok()) return to_status(read, cat("reading ", path_));
  const uint64_t index = data.size() < kIndexSize ? 0 : load_big64(data.data());
  if (data != encode(Index(index))) {
    return absl::DataLossError(
        cat("backend: ", path_, " is damaged; restore this member from a snapshot or add it anew"));
  }
  return Index(index);
}

absl::Status HighWater::store(Index index) {
  const std::string temporary = path_ + ".tmp";
  IOStatus status = rocksdb::WriteStringToFile(files_.get(), encode(index), temporary, true);
  if (status.ok()) status = files_->RenameFile(temporary, path_, IOOptions(), nullptr);
  if (status.ok()) status = sync_directory(*files_, directory_);
  return to_status(status, cat("recording the durable position in ", path_));
}

}  // namespace keelson::backend::rocks
