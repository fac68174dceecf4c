#include "backend/rocks/high_water.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/crc32c.h"
#include "base/text.h"

namespace keelson::backend::rocks {
namespace {

constexpr size_t kSize = 12;

std::string encode(Index index) {
  std::string out;
  for (int shift = 56; shift >= 0; shift -= 8) out += static_cast<char>(index.value >> shift);
  uint32_t crc = crc32c::extend(0, out);
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(crc >> shift);
  return out;
}

absl::Status failed(std::string_view doing, const std::string& path) {
  int error = errno;
  std::string what = cat("backend: ", doing, " ", path, ": ", std::strerror(error));
  if (error == ENOSPC || error == EDQUOT) return absl::ResourceExhaustedError(what);
  return absl::UnavailableError(what);
}

absl::Status sync_path(const std::string& path, int flags) {
  int fd = ::open(path.c_str(), flags | O_CLOEXEC);
  if (fd < 0) return failed("opening", path);
  int result = ::fsync(fd);
  absl::Status status = result == 0 ? absl::OkStatus() : failed("syncing", path);
  ::close(fd);
  return status;
}

}  // namespace

HighWater::HighWater(const std::string& directory)
    : path_(directory + "/KEELSON.durable"), directory_(directory) {}

absl::StatusOr<Index> HighWater::load() const {
  int fd = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT) return Index(0);
  if (fd < 0) return failed("opening", path_);
  char data[kSize + 1];
  ssize_t got = ::read(fd, data, sizeof data);
  ::close(fd);
  if (got < 0) return failed("reading", path_);
  uint64_t index = 0;
  for (int i = 0; i < 8; ++i) index = index << 8 | static_cast<uint8_t>(data[i]);
  if (std::string_view(data, static_cast<size_t>(got)) != encode(Index(index))) {
    return absl::DataLossError(
        cat("backend: ", path_, " is damaged; restore this member from a snapshot or add it anew"));
  }
  return Index(index);
}

absl::Status HighWater::store(Index index) {
  std::string temporary = path_ + ".tmp";
  int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return failed("creating", temporary);
  std::string data = encode(index);
  ssize_t written = ::write(fd, data.data(), data.size());
  absl::Status status = written == static_cast<ssize_t>(data.size()) && ::fsync(fd) == 0
                            ? absl::OkStatus()
                            : failed("writing", temporary);
  ::close(fd);
  if (!status.ok()) return status;
  if (std::rename(temporary.c_str(), path_.c_str()) != 0) return failed("renaming", temporary);
  return sync_path(directory_, O_RDONLY | O_DIRECTORY);
}

}  // namespace keelson::backend::rocks
