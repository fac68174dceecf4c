#include "net/resolver.h"

#include <netdb.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <utility>

#include "base/text.h"

namespace keelson::net {
namespace {

constexpr int kThreads = 4;
constexpr size_t kMostWaiting = 256;

std::string reason(int result) {
  switch (result) {
    case EAI_NONAME:
    case EAI_NODATA:
      return "no such host";
    case EAI_AGAIN:
      return "server misbehaving";
    case EAI_SYSTEM:
      return errno_text(errno);
    default:
      return gai_strerror(result);
  }
}

Resolver::Addresses look_up(const std::string& host, const std::string& port, int flags) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV | flags;
  addrinfo* found = nullptr;
  const int result = getaddrinfo(host.c_str(), port.c_str(), &hints, &found);
  if (result != 0) return absl::UnavailableError(cat("lookup ", host, ": ", reason(result)));
  std::vector<Address> addresses;
  for (addrinfo* at = found; at != nullptr; at = at->ai_next) {
    Address& address = addresses.emplace_back();
    std::memcpy(&address.storage, at->ai_addr, at->ai_addrlen);
    address.size = at->ai_addrlen;
  }
  freeaddrinfo(found);
  return addresses;
}

}  // namespace

Resolver::Resolver()
    : workers_({.name = "resolver",
                .threads = kThreads,
                .threads_per_owner = 1,
                .max_waiting = kMostWaiting}) {}

void Resolver::resolve(const std::string& host, const std::string& port, Loop* loop, Done done) {
  Addresses at_once = look_up(host, port, AI_NUMERICHOST);
  if (at_once.ok()) {
    return loop->post([done = std::move(done), found = *std::move(at_once)]() mutable {
      done(std::move(found));
    });
  }
  // Shared: run() takes the job away even when it refuses.
  auto answer = std::make_shared<Done>(std::move(done));
  const bool admitted = workers_.run(std::hash<std::string>()(host), [host, port, loop,
                                                                      answer](int) {
    loop->post([answer, found = look_up(host, port, 0)]() mutable { (*answer)(std::move(found)); });
  });
  if (admitted) return;
  loop->post([answer, host] {
    (*answer)(absl::ResourceExhaustedError(cat("lookup ", host, ": too many lookups under way")));
  });
}

}  // namespace keelson::net
