#include "boltfile/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/check.h"
#include "base/text.h"

namespace keelson::boltfile {

absl::StatusOr<std::unique_ptr<FileSink>> FileSink::create(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return absl::ErrnoToStatus(errno, to_absl(cat("boltfile: create ", path)));
  return std::unique_ptr<FileSink>(new FileSink(path, fd));
}

FileSink::~FileSink() { ::close(fd_); }

absl::Status FileSink::write(std::string_view bytes) {
  const uint64_t at = size_;
  size_ += bytes.size();
  return overwrite(at, bytes);
}

absl::Status FileSink::overwrite(uint64_t offset, std::string_view bytes) {
  CHECK(offset + bytes.size() <= size_);
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return absl::ErrnoToStatus(errno, to_absl(cat("boltfile: write ", path_)));
    bytes.remove_prefix(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return absl::OkStatus();
}

absl::Status FileSink::sync() {
  if (::fdatasync(fd_) == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, to_absl(cat("boltfile: sync ", path_)));
}

absl::Status SummingSink::write(std::string_view bytes) {
  sum_.update(bytes);
  return below_->write(bytes);
}

absl::Status SummingSink::finish() { return below_->write(sum_.finish()); }

}  // namespace keelson::boltfile
