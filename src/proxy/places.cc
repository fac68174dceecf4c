#include "proxy/places.h"

#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>

#include <set>

#include "base/text.h"

namespace keelson::proxy {
namespace {

using Hosts = std::set<std::string>;  // addresses in their usual form, without ports

std::string host_of(const sockaddr* address, socklen_t size) {
  char text[NI_MAXHOST];
  const int result = getnameinfo(address, size, text, sizeof(text), nullptr, 0, NI_NUMERICHOST);
  return result == 0 ? text : "";
}

// Empty: there is no such host.
Hosts look_up(const std::string& host) {
  Hosts hosts;
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (host.empty() || getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0) return hosts;
  for (addrinfo* at = found; at != nullptr; at = at->ai_next) {
    hosts.insert(host_of(at->ai_addr, at->ai_addrlen));
  }
  freeaddrinfo(found);
  return hosts;
}

// Those of this machine.
void add_own(Hosts& hosts) {
  ifaddrs* found = nullptr;
  if (getifaddrs(&found) != 0) return;
  for (ifaddrs* at = found; at != nullptr; at = at->ifa_next) {
    if (at->ifa_addr == nullptr) continue;
    const int family = at->ifa_addr->sa_family;
    if (family == AF_INET) hosts.insert(host_of(at->ifa_addr, sizeof(sockaddr_in)));
    if (family == AF_INET6) hosts.insert(host_of(at->ifa_addr, sizeof(sockaddr_in6)));
  }
  freeifaddrs(found);
}

// "host:port", "[address]:port". False: it is neither.
bool split(std::string_view text, std::string& host, std::string& port) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return false;
  port = text.substr(colon + 1);
  std::string_view rest = text.substr(0, colon);
  const bool bracketed = rest.starts_with('[') && rest.ends_with(']');
  if (bracketed) rest = rest.substr(1, rest.size() - 2);
  host = rest;
  return bracketed || host.find(':') == std::string::npos;
}

}  // namespace

absl::Status check_places(const std::string& listen_address,
                          const std::vector<Endpoint>& endpoints) {
  const auto bad = [](const std::string& what) { return absl::InvalidArgumentError(what); };
  std::string host, port;
  if (!split(listen_address, host, port)) {
    return bad(cat("failed to validate listen address: ", listen_address));
  }
  Hosts ours = look_up(host);
  if (ours.empty()) return bad(cat("failed to resolve listen host: ", host));
  if (ours.contains("0.0.0.0") || ours.contains("::")) add_own(ours);
  for (const Endpoint& endpoint : endpoints) {
    const Hosts theirs = look_up(endpoint.host);
    if (theirs.empty()) return bad(cat("failed to resolve endpoint host: ", endpoint.host));
    if (cat(endpoint.port) != port) continue;
    for (const std::string& address : theirs) {
      if (!ours.contains(address)) continue;
      return bad(cat("SRV or endpoint (", endpoint.host, ":", port, "->", address, ":", port,
                     ") should not resolve to the gateway listen addr (", listen_address, ")"));
    }
  }
  return absl::OkStatus();
}

}  // namespace keelson::proxy
