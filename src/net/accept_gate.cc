#include "net/accept_gate.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/log.h"
#include "base/text.h"

namespace keelson::net {
namespace {

// What the next descriptor would be; nothing when there is none left.
std::optional<rlim_t> next_number(int any) {
  const int fd = ::fcntl(any, F_DUPFD_CLOEXEC, 0);
  if (fd < 0) return std::nullopt;
  ::close(fd);
  return static_cast<rlim_t>(fd);
}

}  // namespace

rlim_t AcceptGate::limit() {
  rlimit value{};
  return getrlimit(RLIMIT_NOFILE, &value) == 0 ? value.rlim_cur : RLIM_INFINITY;
}

absl::Status AcceptGate::raise_limit() {
  rlimit value{};
  if (getrlimit(RLIMIT_NOFILE, &value) != 0) return absl::ErrnoToStatus(errno, "getrlimit");
  if (value.rlim_cur < value.rlim_max) {
    const rlim_t before = value.rlim_cur;
    value.rlim_cur = value.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &value) != 0) {
      log::warn("cannot raise the limit of file descriptors",
                {{"limit", before}, {"hard-limit", value.rlim_max}});
      value.rlim_cur = before;
    }
  }
  if (value.rlim_cur > kReserve) return absl::OkStatus();
  return absl::FailedPreconditionError(
      cat("the limit of file descriptors is too low; please set it higher (limit: ", value.rlim_cur,
          ", kept for other things: ", kReserve, ")"));
}

bool AcceptGate::open(int any) {
  const rlim_t most = limit();
  const std::optional<rlim_t> next = next_number(any);
  const bool room = next && *next < most - std::min(most, reserve_of(most));
  if (shut_.exchange(!room) == !room) return room;
  if (room) {
    log::info("accepting connections again", {{"file-descriptors", *next}, {"limit", most}});
  } else {
    times_shut_.fetch_add(1, std::memory_order_relaxed);
    log::warn("not accepting connections: the file descriptors left are for the store and the log",
              {{"file-descriptors", next.value_or(most)},
               {"limit", most},
               {"reserve", reserve_of(most)}});
  }
  return room;
}

}  // namespace keelson::net
