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

absl::Status too_many(const std::string& host) {
  return absl::ResourceExhaustedError(cat("lookup ", host, ": too many lookups under way"));
}

// The names that an address leads to.
std::vector<std::string> names_of(const std::string& host) {
  Resolver::Addresses addresses = look_up(host, "0", AI_NUMERICHOST);
  if (!addresses.ok()) return {};
  std::vector<std::string> names;
  for (Address& address : *addresses) {
    char name[NI_MAXHOST];
    const int result =
        getnameinfo(address.get(), address.size, name, sizeof(name), nullptr, 0, NI_NAMEREQD);
    if (result == 0) names.emplace_back(name);
  }
  return names;
}

bool is_wildcard(const std::string& name) { return name.starts_with("*."); }

// The text of an address without its port.
std::string host_of(const Address& address) {
  char text[NI_MAXHOST];
  const auto* any = reinterpret_cast<const sockaddr*>(&address.storage);
  const int result = getnameinfo(any, address.size, text, sizeof(text), nullptr, 0, NI_NUMERICHOST);
  return result == 0 ? text : "";
}

absl::Status find_name_now(const std::string& host, const std::vector<std::string>& names) {
  for (std::string found : names_of(host)) {
    if (found.ends_with('.')) found.pop_back();
    for (const std::string& name : names) {
      if (is_wildcard(name) ? found.ends_with(name.substr(1)) : found == name) {
        return absl::OkStatus();
      }
    }
  }
  std::string why, listed;
  for (const std::string& name : names) {
    listed += cat(listed.empty() ? "" : " ", "\"", name, "\"");
    if (is_wildcard(name)) continue;
    Resolver::Addresses addresses = look_up(name, "0", 0);
    if (!addresses.ok()) {
      why = cat(" (", message_of(addresses.status()), ")");
      continue;
    }
    for (const Address& address : *addresses) {
      if (host_of(address) == host) return absl::OkStatus();
    }
  }
  return absl::PermissionDeniedError(
      cat("tls: \"", host, "\" does not match any of DNSNames [", listed, "]", why));
}

}  // namespace

Resolver::Resolver()
    : workers_({.name = "resolver",
                .threads = kThreads,
                .threads_per_connection = 1,
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
  loop->post([answer, host] { (*answer)(too_many(host)); });
}

void Resolver::find_name(const std::string& host, std::vector<std::string> names, Loop* loop,
                         Named done) {
  auto answer = std::make_shared<Named>(std::move(done));
  const bool admitted = workers_.run(std::hash<std::string>()(host), [=](int) {
    loop->post([answer, named = find_name_now(host, names)] { (*answer)(named); });
  });
  if (admitted) return;
  loop->post([answer, host] { (*answer)(too_many(host)); });
}

}  // namespace keelson::net
