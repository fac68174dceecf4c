// From URLs to addresses.

#include "server/places.h"

#include <gtest/gtest.h>

namespace keelson::server {
namespace {

std::string local_address_of(const std::string& urls, bool wanted = true) {
  Config config;
  config.feature_gates.at("SetMemberLocalAddr").enabled = wanted;
  config.initial_advertise_peer_urls = *parse_urls(urls);
  return local_address(config);
}

// etcd's own cases, and some more.
TEST(LocalAddress, IsTheFirstOfTheAdvertisedThatOthersCanReach) {
  EXPECT_EQ(local_address_of("http://192.168.100.110:2380", false), "");
  EXPECT_EQ(local_address_of("http://192.168.100.110:2380"), "192.168.100.110");
  EXPECT_EQ(local_address_of("http://localhost:2380"), "");
  EXPECT_EQ(local_address_of("http://0.0.0.0:2380"), "");
  EXPECT_EQ(local_address_of("http://[::]:2380"), "");
  EXPECT_EQ(local_address_of("http://127.0.0.1:2380"), "");
  EXPECT_EQ(local_address_of("http://127.8.9.1:2380"), "");
  EXPECT_EQ(local_address_of("http://[::1]:2380"), "");
  EXPECT_EQ(local_address_of("http://[::ffff:127.0.0.1]:2380"), "");
  EXPECT_EQ(local_address_of("http://123.456.789.123:2380"), "");
  EXPECT_EQ(local_address_of("http://example.com:2380"), "");
  EXPECT_EQ(local_address_of("http://example.com:2380,http://10.0.0.7:2380"), "10.0.0.7");
  EXPECT_EQ(local_address_of("http://127.0.0.1:2380,http://10.0.0.7:2380"), "10.0.0.7");
  EXPECT_EQ(local_address_of("https://[2001:db8::5]:2380"), "2001:db8::5");
  // In the order that etcd keeps URLs in.
  EXPECT_EQ(local_address_of("http://[2001:db8::5]:2380,http://10.0.0.7:2380"), "10.0.0.7");
}

}  // namespace
}  // namespace keelson::server
