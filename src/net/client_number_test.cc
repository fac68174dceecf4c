#include "net/client_number.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <set>
#include <string>

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

// Ahead of all others: nothing has asked for a number yet, and two children that have the same
// addresses for everything draw a secret each.
TEST(ClientNumber, IsAnotherInEachProcess) {
  const auto numbers = [] {
    return std::array{client_of_user("a"), client_of_certificate("a"), client_of_connection(1),
                      connection_number(1), client_at(ipv6("2001:db8::1", 1))};
  };
  using Numbers = decltype(numbers());
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  std::array<Numbers, 2> seen;
  for (Numbers& of_one : seen) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      const Numbers mine = numbers();
      _exit(::write(ends[1], mine.data(), sizeof mine) == sizeof mine ? 0 : 1);
    }
    ASSERT_EQ(::read(ends[0], of_one.data(), sizeof of_one), static_cast<ssize_t>(sizeof of_one));
    ASSERT_EQ(waitpid(child, nullptr, 0), child);
  }
  for (size_t i = 0; i < seen[0].size(); ++i) EXPECT_NE(seen[0][i], seen[1][i]) << i;
  close(ends[0]);
  close(ends[1]);
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
    seen.insert(connection_number(i));
    seen.insert(client_of_user(std::to_string(i)));
    seen.insert(client_of_certificate(std::to_string(i)));
  }
  EXPECT_EQ(seen.size(), 4000u);
  EXPECT_FALSE(seen.contains(0));
}

}  // namespace
}  // namespace keelson::net
