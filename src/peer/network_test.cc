// Members that speak to each other over the peer protocol: they elect, replicate, and get over each
// other's absence.

#include "peer/network.h"

#include <gtest/gtest.h>

#include "peer/test_cluster.h"

namespace keelson::peer {
namespace {

TEST(Network, ThreeMembersElectAndReplicate) {
  TestCluster cluster(3);
  const int leader = cluster.leader();
  ASSERT_GE(leader, 0);
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(cluster.at(leader).put(cat("k", i), "v").ok());
  }
  const int64_t revision = cluster.at(leader).revision();
  EXPECT_EQ(revision, 101);
  for (int i = 0; i < cluster.size(); ++i) {
    EXPECT_TRUE(eventually([&] { return cluster.at(i).revision() == revision; })) << i;
    EXPECT_TRUE(cluster.at(i).read().ok()) << i;
    EXPECT_TRUE(eventually([&] { return cluster.at(i).network().active()->size() == 2; })) << i;
  }
  // Whoever does not lead passes proposals on.
  EXPECT_TRUE(cluster.at((leader + 1) % 3).put("k", "v").ok());
}

TEST(Network, AMemberThatWasAwayCatchesUp) {
  TestCluster cluster(3);
  const int leader = cluster.leader();
  ASSERT_GE(leader, 0);
  ASSERT_TRUE(cluster.at(leader).put("a", "1").ok());
  TestPeer& away = cluster.at((leader + 1) % 3);
  TestPeer& stays = cluster.at((leader + 2) % 3);
  away.close_listener();
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(stays.put(cat("k", i), "v").ok());
  away.listen_again();
  EXPECT_TRUE(eventually([&] { return away.revision() == stays.revision(); }));
}

TEST(Network, AMemberThatIsFarBehindGetsASnapshot) {
  TestCluster cluster(3);
  const int leader = cluster.leader();
  ASSERT_GE(leader, 0);
  ASSERT_TRUE(cluster.at(leader).put("a", "1").ok());
  TestPeer& away = cluster.at((leader + 1) % 3);
  TestPeer& stays = cluster.at((leader + 2) % 3);
  ASSERT_TRUE(eventually([&] { return away.revision() == stays.revision(); }));
  away.isolate();
  // The first attempt finds no space.
  away.home().set_full(true);
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(stays.put(cat("k", i), std::string(3000, 'a' + i % 26)).ok());
  }
  away.reconnect();
  EXPECT_TRUE(eventually([&] { return away.home().refused() > 0; }));
  EXPECT_EQ(away.home().installed(), 0);
  away.home().set_full(false);
  EXPECT_TRUE(eventually([&] { return away.revision() == stays.revision(); }));
  EXPECT_GE(away.home().installed(), 1);
  EXPECT_EQ(away.contents(), stays.contents());
  EXPECT_TRUE(eventually([&] { return away.home().empty(); }));
  EXPECT_TRUE(away.put("b", "2").ok());
}

}  // namespace
}  // namespace keelson::peer
