#include "server/url_match.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>

#include "base/text.h"
#include "server/go_values.h"

namespace keelson::server {
namespace {

// The URL with its host looked up; as it is where that fails.
std::string resolved(const Url& url) {
  if (url.is_unix() || url.hostname() == "localhost") return url.str();
  const std::optional<std::string> address = address_of(url);
  return address ? cat(url.scheme, "://", *address) : url.str();
}

// As Go's %q shows a slice.
std::string quoted_list(const std::vector<Url>& urls) {
  std::string out = "[";
  for (const Url& url : urls) out += cat(out.size() > 1 ? " " : "", server::quoted(url.str()));
  return out + "]";
}

}  // namespace

std::optional<std::string> address_of(const Url& url) {
  addrinfo hints = {}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  if (::getaddrinfo(url.hostname().c_str(), nullptr, &hints, &found) != 0) return std::nullopt;
  const addrinfo* best = found;
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    if (one->ai_family == AF_INET) {
      best = one;
      break;
    }
  }
  char text[NI_MAXHOST] = "";
  ::getnameinfo(best->ai_addr, best->ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST);
  const bool six = best->ai_family == AF_INET6;
  ::freeaddrinfo(found);
  return six ? cat("[", text, "]:", url.port()) : cat(text, ":", url.port());
}

std::string url_difference(const std::vector<Url>& ours, const std::vector<Url>& named) {
  if (ours.size() != named.size()) {
    return cat("len(", quoted_list(ours), ") != len(", quoted_list(named), ")");
  }
  std::vector<std::string> a, b;
  for (const Url& url : ours) a.push_back(resolved(url));
  for (const Url& url : named) b.push_back(resolved(url));
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  auto [x, y] = std::mismatch(a.begin(), a.end(), b.begin());
  return x == a.end() ? "" : cat("resolved urls: ", server::quoted(*x), " != ", server::quoted(*y));
}

}  // namespace keelson::server
