#include "boltfile/source.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/text.h"

namespace keelson::boltfile {
namespace {

absl::Status ends_early(std::string_view name, uint64_t offset) {
  return absl::DataLossError(cat("boltfile: ", name, " ends within what is read at ", offset));
}

class FileSource final : public Source {
 public:
  FileSource(std::string path, int fd, uint64_t size)
      : path_(std::move(path)), fd_(fd), size_(size) {}
  ~FileSource() override { ::close(fd_); }

  uint64_t size() const override { return size_; }
  std::string name() const override { return path_; }

  absl::Status read(uint64_t offset, char* out, size_t size) const override {
    while (size > 0) {
      const ssize_t got = ::pread(fd_, out, size, static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return absl::ErrnoToStatus(errno, to_absl(cat("boltfile: read ", path_)));
      if (got == 0) return ends_early(path_, offset);
      out += got;
      offset += static_cast<uint64_t>(got);
      size -= static_cast<size_t>(got);
    }
    return absl::OkStatus();
  }
  void expect(uint64_t offset, uint64_t size) const override {
    ::posix_fadvise(fd_, static_cast<off_t>(offset), static_cast<off_t>(size), POSIX_FADV_WILLNEED);
  }

 private:
  const std::string path_;
  const int fd_;
  const uint64_t size_;
};

class MemorySource final : public Source {
 public:
  explicit MemorySource(std::string_view bytes) : bytes_(bytes) {}

  uint64_t size() const override { return bytes_.size(); }
  std::string name() const override { return "database in memory"; }

  absl::Status read(uint64_t offset, char* out, size_t size) const override {
    if (offset > bytes_.size() || size > bytes_.size() - offset) return ends_early(name(), offset);
    if (size > 0) std::memcpy(out, bytes_.data() + offset, size);
    return absl::OkStatus();
  }

 private:
  const std::string_view bytes_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Source>> open_source(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return absl::ErrnoToStatus(errno, to_absl(cat("boltfile: open ", path)));
  struct stat info = {};
  if (::fstat(fd, &info) != 0) {
    const int error = errno;
    ::close(fd);
    return absl::ErrnoToStatus(error, to_absl(cat("boltfile: stat ", path)));
  }
  if (!S_ISREG(info.st_mode)) {
    ::close(fd);
    return absl::InvalidArgumentError(to_absl(cat("boltfile: ", path, " is not a regular file")));
  }
  return std::make_unique<FileSource>(path, fd, static_cast<uint64_t>(info.st_size));
}

std::unique_ptr<Source> memory_source(std::string_view bytes) {
  return std::make_unique<MemorySource>(bytes);
}

}  // namespace keelson::boltfile
