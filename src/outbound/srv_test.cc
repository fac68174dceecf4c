// SRV records, as a name server on loopback has them.

#include "outbound/srv.h"

#include <gtest/gtest.h>

#include "base/text.h"
#include "outbound/test_name_server.h"

namespace keelson::outbound {
namespace {

using Urls = std::vector<std::string>;

TEST(Srv, TheMostWantedComesFirst) {
  TestNameServer server(
      {{"_etcd-server._tcp.example.test",
        {{20, 1, "c.example.test"}, {10, 2380, "a.example.test"}, {10, 2381, "b.example.test"}}}});
  const auto found = lookup_srv("etcd-server", "example.test", server.address());
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(*found,
            (std::vector<SrvRecord>{{.target = "a.example.test", .port = 2380, .priority = 10},
                                    {.target = "b.example.test", .port = 2381, .priority = 10},
                                    {.target = "c.example.test", .port = 1, .priority = 20}}));
}

TEST(Srv, NobodyOffersTheService) {
  TestNameServer server({{"_etcd-server._tcp.example.test", {{0, 0, ""}}}});
  EXPECT_EQ(lookup_srv("etcd-server", "example.test", server.address()).status(),
            absl::NotFoundError("lookup _etcd-server._tcp.example.test: no such host"));
  EXPECT_EQ(lookup_srv("etcd-server", "elsewhere.test", server.address()).status(),
            absl::NotFoundError("lookup _etcd-server._tcp.elsewhere.test: no such host"));
}

TEST(Srv, ALongAnswerComesByTcp) {
  std::vector<TestNameServer::Srv> many;
  for (uint16_t i = 0; i < 200; ++i) many.push_back({i, i, cat("member-", i, ".example.test")});
  TestNameServer server({{"_etcd-server._tcp.example.test", many}}, true);
  const auto found = lookup_srv("etcd-server", "example.test", server.address());
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->size(), 200u);
  EXPECT_EQ(found->back().target, "member-199.example.test");
  EXPECT_EQ(server.asked_by_tcp(), 1);
}

TEST(Srv, ClientsFindBothKinds) {
  TestNameServer server({{"_etcd-client._tcp.example.test", {{0, 2379, "a.example.test"}}},
                         {"_etcd-client-ssl._tcp.example.test", {{0, 2379, "b.example.test"}}},
                         {"_etcd-client-blue._tcp.example.test", {{0, 79, "c.example.test"}}}});
  const auto both = client_urls("example.test", "", server.address());
  ASSERT_TRUE(both.ok()) << both.status();
  EXPECT_EQ(*both, (Urls{"https://b.example.test:2379", "http://a.example.test:2379"}));
  const auto named = client_urls("example.test", "blue", server.address());
  ASSERT_TRUE(named.ok()) << named.status();
  EXPECT_EQ(*named, (Urls{"http://c.example.test:79"}));
  EXPECT_EQ(client_urls("example.test", "red", server.address()).status().message(),
            "dns lookup errors: lookup _etcd-client-ssl-red._tcp.example.test: no such host and "
            "lookup _etcd-client-red._tcp.example.test: no such host");
}

}  // namespace
}  // namespace keelson::outbound
