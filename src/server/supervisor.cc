#include "server/supervisor.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "base/text.h"

namespace keelson::server {
namespace {

// Whoever wants to be told more often would have us do nothing else.
constexpr Duration kShortestInterval = std::chrono::milliseconds(10);

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

std::optional<int64_t> number(std::string_view text) {
  int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

Supervisor::Environment Supervisor::environment() {
  return {variable("NOTIFY_SOCKET"), variable("WATCHDOG_USEC"), variable("WATCHDOG_PID")};
}

std::optional<Duration> Supervisor::watchdog_interval(pid_t self) const {
  if (!present()) return std::nullopt;
  const std::optional<int64_t> most = number(environment_.watchdog_usec);
  if (!most || *most <= 0) return std::nullopt;
  if (!environment_.watchdog_pid.empty() && number(environment_.watchdog_pid) != self) {
    return std::nullopt;
  }
  return std::max<Duration>(std::chrono::microseconds(*most) / 2, kShortestInterval);
}

absl::Status Supervisor::stopping_for(Duration longer) const {
  return notify(
      cat("EXTEND_TIMEOUT_USEC=", std::chrono::ceil<std::chrono::microseconds>(longer).count()));
}

absl::Status Supervisor::notify(std::string_view state) const {
  if (!present()) return absl::OkStatus();
  const std::string& path = environment_.notify_socket;
  sockaddr_un address{};
  if ((path[0] != '/' && path[0] != '@') || path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(cat("NOTIFY_SOCKET is not a socket's path: ", path));
  }
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  if (path[0] == '@') address.sun_path[0] = '\0';
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return absl::ErrnoToStatus(errno, "socket");
  const ssize_t sent = ::sendto(fd, state.data(), state.size(), MSG_NOSIGNAL,
                                reinterpret_cast<const sockaddr*>(&address), size);
  const int error = errno;
  ::close(fd);
  if (sent < 0) return absl::ErrnoToStatus(error, cat("cannot tell ", path));
  return absl::OkStatus();
}

}  // namespace keelson::server
