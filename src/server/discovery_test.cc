// Who founds a cluster, by SRV records on a name server of our own; the registry's keys. (With
// running members: tests/discovery.)

#include "server/discovery.h"

#include <gtest/gtest.h>

#include "base/text.h"
#include "outbound/test_name_server.h"

namespace keelson::server {
namespace {

using outbound::TestNameServer;

// A member at 127.0.0.1:`port` that looks for example.test.
Config member_at(int port, std::string_view scheme = "http") {
  Config config;
  config.name = "self";
  config.initial_cluster.clear();
  config.initial_advertise_peer_urls = {{std::string(scheme), cat("127.0.0.1:", port), ""}};
  config.discovery.dns_srv = "example.test";
  return config;
}

TestNameServer::Records three(std::string_view service) {
  return {{cat("_", service, "._tcp.example.test"),
           {{0, 11, "127.0.0.1"}, {0, 12, "127.0.0.1"}, {0, 13, "127.0.0.1"}}}};
}

TEST(Discovery, SrvRecordsNameTheMembers) {
  TestNameServer server(three("etcd-server"));
  Config config = member_at(12);
  EXPECT_EQ(name_founders(config, server.address()), absl::OkStatus());
  EXPECT_EQ(config.initial_cluster,
            "0=http://127.0.0.1:11,self=http://127.0.0.1:12,1=http://127.0.0.1:13");
  EXPECT_EQ(config.initial_cluster_token, "etcd-cluster");
}

// Their certificates have to name the domain, unless the cluster has authorities of its own.
TEST(Discovery, MembersOverTlsShowThatTheyAreOfTheDomain) {
  TestNameServer server(three("etcd-server-ssl"));
  Config config = member_at(12, "https");
  EXPECT_EQ(name_founders(config, server.address()), absl::OkStatus());
  EXPECT_EQ(config.peer_tls.server_name, "example.test");
  Config in_full = member_at(12, "https");
  in_full.discovery.dns_srv += '.';
  EXPECT_EQ(name_founders(in_full, server.address()), absl::OkStatus());
  EXPECT_EQ(in_full.peer_tls.server_name, "example.test");
  Config with_bundle = member_at(12, "https");
  with_bundle.peer_tls.trusted_ca_file = "ca.pem";
  EXPECT_EQ(name_founders(with_bundle, server.address()), absl::OkStatus());
  EXPECT_EQ(with_bundle.peer_tls.server_name, "");
  TestNameServer plain(three("etcd-server"));
  Config in_the_clear = member_at(12);
  EXPECT_EQ(name_founders(in_the_clear, plain.address()), absl::OkStatus());
  EXPECT_EQ(in_the_clear.peer_tls.server_name, "");
}

TEST(Discovery, TheServicesNameHasASuffix) {
  TestNameServer server(three("etcd-server-blue"));
  Config config = member_at(13);
  config.discovery.dns_srv_name = "blue";
  EXPECT_EQ(name_founders(config, server.address()), absl::OkStatus());
  EXPECT_EQ(config.initial_cluster,
            "0=http://127.0.0.1:11,1=http://127.0.0.1:12,self=http://127.0.0.1:13");
}

TEST(Discovery, WhatIsRefused) {
  TestNameServer server(three("etcd-server"));
  Config stranger = member_at(14);
  EXPECT_EQ(message_of(name_founders(stranger, server.address())),
            "error setting up initial cluster: cannot find local etcd member \"self\" in SRV "
            "records");
  // Its own URL has TLS, the record is of the other service.
  Config other_scheme = member_at(12, "https");
  EXPECT_EQ(message_of(name_founders(other_scheme, server.address())),
            "error setting up initial cluster: cannot find local etcd member \"self\" in SRV "
            "records");
  Config nobody = member_at(12);
  nobody.discovery.dns_srv_name = "red";
  EXPECT_EQ(message_of(name_founders(nobody, server.address())),
            "error setting up initial cluster: error querying DNS SRV records for "
            "_etcd-server-ssl-red lookup _etcd-server-ssl-red._tcp.example.test: no such host; "
            "error querying DNS SRV records for _etcd-server-red lookup "
            "_etcd-server-red._tcp.example.test: no such host");
}

TEST(Discovery, UnderATokenAMemberIsAloneAtFirst) {
  Config config = member_at(12);
  config.discovery = {};
  config.discovery.endpoints = {"127.0.0.1:1"};
  config.discovery.token = "token";
  EXPECT_EQ(name_founders(config), absl::OkStatus());
  EXPECT_EQ(config.initial_cluster, "self=http://127.0.0.1:12");
  EXPECT_EQ(config.initial_cluster_token, "token");
}

TEST(Discovery, TheRegistrysKeys) {
  const RegistryKeys keys("one");
  EXPECT_EQ(keys.size, "/_etcd/registry/one/_config/size");
  EXPECT_EQ(keys.members, "/_etcd/registry/one/members");
  EXPECT_EQ(keys.member(MemberId{0xabc}), "/_etcd/registry/one/members/abc");
  EXPECT_EQ(RegistryKeys("a//b/").size, "/_etcd/registry/a/b/_config/size");
}

TEST(Discovery, TheFirstWhoRegistered) {
  const std::vector<std::string> values = {"a=http://1.1.1.1:1", "b=http://1.1.1.2:1",
                                           "c=http://1.1.1.3:1"};
  EXPECT_EQ(*initial_cluster_of(values, 2), "a=http://1.1.1.1:1,b=http://1.1.1.2:1");
  EXPECT_EQ(message_of(initial_cluster_of({"a=nonsense"}, 1).status()),
            "discovery: invalid peer URL");
}

}  // namespace
}  // namespace keelson::server
