#include "net/address.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "base/text.h"

namespace keelson::net {

std::string Address::text() const {
  char host[INET6_ADDRSTRLEN] = "";
  if (family() == AF_INET) {
    auto* in = reinterpret_cast<const sockaddr_in*>(&storage);
    inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
    return cat(host, ":", ntohs(in->sin_port));
  }
  if (family() == AF_INET6) {
    auto* in6 = reinterpret_cast<const sockaddr_in6*>(&storage);
    if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
      inet_ntop(AF_INET, &in6->sin6_addr.s6_addr[12], host, sizeof(host));
      return cat(host, ":", ntohs(in6->sin6_port));
    }
    inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
    return cat("[", host, "]:", ntohs(in6->sin6_port));
  }
  auto* un = reinterpret_cast<const sockaddr_un*>(&storage);
  return size > offsetof(sockaddr_un, sun_path) && un->sun_path[0] ? un->sun_path : "@";
}

bool Address::is_loopback() const {
  const auto is_v4_loopback = [](const void* bytes) {
    return *static_cast<const uint8_t*>(bytes) == IN_LOOPBACKNET;
  };
  if (family() == AF_INET) {
    return is_v4_loopback(&reinterpret_cast<const sockaddr_in*>(&storage)->sin_addr);
  }
  if (family() != AF_INET6) return false;
  const in6_addr& in6 = reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_addr;
  if (IN6_IS_ADDR_V4MAPPED(&in6)) return is_v4_loopback(&in6.s6_addr[12]);
  return IN6_IS_ADDR_LOOPBACK(&in6);
}

bool Address::is_unspecified() const {
  if (family() == AF_INET) {
    return reinterpret_cast<const sockaddr_in*>(&storage)->sin_addr.s_addr == INADDR_ANY;
  }
  return family() == AF_INET6 &&
         IN6_IS_ADDR_UNSPECIFIED(&reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_addr);
}

std::optional<Address> ip_address(std::string_view text) {
  Address address;
  auto* in = reinterpret_cast<sockaddr_in*>(&address.storage);
  if (::inet_pton(AF_INET, std::string(text).c_str(), &in->sin_addr) == 1) {
    in->sin_family = AF_INET;
    address.size = sizeof(*in);
    return address;
  }
  auto* in6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
  const size_t percent = std::min(text.find('%'), text.size());
  if (::inet_pton(AF_INET6, std::string(text.substr(0, percent)).c_str(), &in6->sin6_addr) != 1) {
    return std::nullopt;
  }
  in6->sin6_family = AF_INET6;
  address.size = sizeof(*in6);
  if (percent == text.size()) return address;
  const std::string zone(text.substr(percent + 1));
  in6->sin6_scope_id = ::if_nametoindex(zone.c_str());
  if (in6->sin6_scope_id == 0) return std::nullopt;
  return address;
}

absl::StatusOr<Address> unix_address(std::string_view path) {
  Address address;
  auto* un = reinterpret_cast<sockaddr_un*>(&address.storage);
  if (path.empty() || path.size() >= sizeof(un->sun_path)) {
    return absl::InvalidArgumentError(cat("not a usable socket path: ", path));
  }
  un->sun_family = AF_UNIX;
  std::memcpy(un->sun_path, path.data(), path.size());
  address.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
  return address;
}

absl::Status socket_error(std::string_view what) {
  return absl::UnavailableError(cat(what, ": ", std::strerror(errno)));
}

std::string errno_text(int error) {
  std::string text = std::strerror(error);
  if (!text.empty()) text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
  return text;
}

}  // namespace keelson::net
