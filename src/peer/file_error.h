// peer/file_error.h
//
// Plain writing of files, with errors that name them.
//
// Threads: any.

#pragma once

#include <unistd.h>

#include <cerrno>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "base/text.h"

namespace keelson::peer {

// Of errno.
inline absl::Status file_error(std::string_view what, const std::string& path) {
  return absl::ErrnoToStatus(errno, to_absl(cat(what, " ", path)));
}

inline absl::Status write_all(int fd, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n >= 0) {
      bytes.remove_prefix(static_cast<size_t>(n));
    } else if (errno != EINTR) {
      return file_error("write", path);
    }
  }
  return absl::OkStatus();
}

}  // namespace keelson::peer
