#include "net/client_number.h"

#include <netinet/in.h>

#include <cstring>
#include <string_view>

#include "base/keyed_hash.h"

namespace keelson::net {
namespace {

constexpr size_t kNetworkBytes = 8;  // of an IPv6 address
constexpr size_t kIpv4Bytes = 4;
constexpr size_t kMappedBytes = 12;  // of it, ahead of an IPv4 address

enum class Kind : uint64_t { kUser, kCertificate, kIpv4, kIpv6, kConnection, kOnlyConnection };

// Each kind has a key of its own.
uint64_t number(Kind kind, std::string_view bytes) {
  static const HashKey secret = random_hash_key();
  return keyed_hash({secret[0], secret[1] ^ static_cast<uint64_t>(kind)}, bytes) | 1;
}

uint64_t number(Kind kind, uint64_t value) {
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  return number(kind, std::string_view(bytes, sizeof bytes));
}

std::string_view text(const uint8_t* bytes, size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

// In the order of the wire.
uint64_t client_at_ipv4(const uint8_t* bytes) {
  constexpr uint8_t kLoopback = 127;
  if (bytes[0] == kLoopback) return 0;
  return number(Kind::kIpv4, text(bytes, kIpv4Bytes));
}

}  // namespace

uint64_t client_of_user(std::string_view name) { return number(Kind::kUser, name); }

uint64_t client_of_certificate(std::string_view common_name) {
  return number(Kind::kCertificate, common_name);
}

uint64_t client_at(const Address& address) {
  if (address.family() == AF_INET) {
    const auto* in = reinterpret_cast<const sockaddr_in*>(&address.storage);
    return client_at_ipv4(reinterpret_cast<const uint8_t*>(&in->sin_addr));
  }
  if (address.family() != AF_INET6) return 0;
  const in6_addr& in6 = reinterpret_cast<const sockaddr_in6*>(&address.storage)->sin6_addr;
  if (IN6_IS_ADDR_LOOPBACK(&in6)) return 0;
  if (IN6_IS_ADDR_V4MAPPED(&in6)) return client_at_ipv4(in6.s6_addr + kMappedBytes);
  return number(Kind::kIpv6, text(in6.s6_addr, kNetworkBytes));
}

uint64_t client_of_connection(uint64_t connection) {
  return number(Kind::kOnlyConnection, connection);
}

uint64_t connection_number(uint64_t connection) { return number(Kind::kConnection, connection); }

}  // namespace keelson::net
