#include "net/client_number.h"

#include <netinet/in.h>

#include <array>
#include <cstring>
#include <utility>

#include "absl/hash/hash.h"
#include "base/text.h"

namespace keelson::net {
namespace {

constexpr size_t kNetworkBytes = 8;  // of an IPv6 address
constexpr size_t kMappedBytes = 12;  // of it, ahead of an IPv4 address

enum class Kind { kName, kIpv4, kIpv6, kConnection };

template <typename Key>
uint64_t number(Kind kind, const Key& key) {
  return absl::Hash<std::pair<int, Key>>()({static_cast<int>(kind), key}) | 1;
}

// In the order of the wire.
uint64_t client_at_ipv4(const uint8_t* bytes) {
  constexpr uint8_t kLoopback = 127;
  if (bytes[0] == kLoopback) return 0;
  std::array<uint8_t, 4> key;
  std::memcpy(key.data(), bytes, key.size());
  return number(Kind::kIpv4, key);
}

}  // namespace

uint64_t client_named(std::string_view name) { return number(Kind::kName, to_absl(name)); }

uint64_t client_at(const Address& address) {
  if (address.family() == AF_INET) {
    const auto* in = reinterpret_cast<const sockaddr_in*>(&address.storage);
    return client_at_ipv4(reinterpret_cast<const uint8_t*>(&in->sin_addr));
  }
  if (address.family() != AF_INET6) return 0;
  const in6_addr& in6 = reinterpret_cast<const sockaddr_in6*>(&address.storage)->sin6_addr;
  if (IN6_IS_ADDR_LOOPBACK(&in6)) return 0;
  if (IN6_IS_ADDR_V4MAPPED(&in6)) return client_at_ipv4(in6.s6_addr + kMappedBytes);
  std::array<uint8_t, kNetworkBytes> key;
  std::memcpy(key.data(), in6.s6_addr, key.size());
  return number(Kind::kIpv6, key);
}

uint64_t client_of_connection(uint64_t connection) { return number(Kind::kConnection, connection); }

}  // namespace keelson::net
