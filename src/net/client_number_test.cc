#include "net/client_number.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include <set>

namespace keelson::net {
namespace {

Address ipv4(const char* host, uint16_t port) {
  Address address;
  auto* in = reinterpret_cast<sockaddr_in*>(&address.storage);
  in->sin_family = AF_INET;
  in->sin_port = htons(port);
  EXPECT_EQ(inet_pton(AF_INET, host, &in->sin_addr), 1);
  return address;
}

Address ipv6(const char* host, uint16_t port) {
  Address address;
  auto* in6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
  in6->sin6_family = AF_INET6;
  in6->sin6_port = htons(port);
  EXPECT_EQ(inet_pton(AF_INET6, host, &in6->sin6_addr), 1);
  return address;
}

TEST(ClientNumber, IsTheHosts) {
  EXPECT_EQ(client_at(ipv4("10.0.0.1", 1)), client_at(ipv4("10.0.0.1", 2)));
  EXPECT_NE(client_at(ipv4("10.0.0.1", 1)), client_at(ipv4("10.0.0.2", 1)));
  EXPECT_EQ(client_at(ipv6("::ffff:10.0.0.1", 1)), client_at(ipv4("10.0.0.1", 2)));
}

// A host has 2^64 addresses of IPv6 for the asking.
TEST(ClientNumber, IsTheNetworksOfIpv6) {
  EXPECT_EQ(client_at(ipv6("2001:db8::1", 1)), client_at(ipv6("2001:db8::ffff:2", 2)));
  EXPECT_NE(client_at(ipv6("2001:db8::1", 1)), client_at(ipv6("2001:db8:0:1::1", 1)));
}

TEST(ClientNumber, OnThisMachineIsTheConnections) {
  EXPECT_EQ(client_at(ipv4("127.0.0.1", 1)), 0u);
  EXPECT_EQ(client_at(ipv4("127.1.2.3", 1)), 0u);
  EXPECT_EQ(client_at(ipv6("::1", 1)), 0u);
  EXPECT_EQ(client_at(ipv6("::ffff:127.0.0.1", 1)), 0u);
  EXPECT_EQ(client_at(*unix_address("/run/socket")), 0u);
  EXPECT_NE(client_of_connection(1), client_of_connection(2));
}

TEST(ClientNumber, IsNeverNobodys) {
  std::set<uint64_t> seen;
  for (uint64_t i = 0; i < 1000; ++i) {
    seen.insert(client_of_connection(i));
    seen.insert(client_named(std::to_string(i)));
  }
  EXPECT_EQ(seen.size(), 2000u);
  EXPECT_FALSE(seen.contains(0));
}

}  // namespace
}  // namespace keelson::net
