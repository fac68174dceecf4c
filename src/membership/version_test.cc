#include "membership/version.h"

#include <gtest/gtest.h>

namespace keelson::membership {
namespace {

std::optional<Version> v(std::string_view text) { return Version::parse(text); }

TEST(Version, IsReadAsEtcdReadsIt) {
  EXPECT_EQ(v("3.7.1"), (Version{3, 7, 1}));
  EXPECT_EQ(v("3.8.0-alpha.0"), (Version{3, 8, 0}));
  EXPECT_EQ(v("3.5.17+build"), (Version{3, 5, 17}));
  for (const char* bad : {"", "3", "3.7", "3.7.", "3.7.1.2", "3.x.1", ".7.1", "-3.7.1", "3.7.1 ",
                          "not_decided", "99999999999999999999.0.0"}) {
    EXPECT_EQ(v(bad), std::nullopt) << bad;
  }
  EXPECT_EQ(Version::parse_short("3.6"), (Version{3, 6, 0}));
  EXPECT_EQ(Version::parse_short("3.6.4"), (Version{3, 6, 4}));
  EXPECT_EQ(Version::parse_short("3"), std::nullopt);
  EXPECT_EQ((Version{3, 6, 4}).str(), "3.6.4");
  EXPECT_EQ((Version{3, 6, 4}).brief(), "3.6");
}

TEST(Version, TheOldestServerCounts) {
  EXPECT_EQ(least_version({v("3.7.1"), v("3.5.17"), v("3.6.0")}), v("3.5.17"));
  EXPECT_EQ(least_version({v("3.7.1"), std::nullopt}), std::nullopt);
  EXPECT_EQ(least_version({}), std::nullopt);
}

TEST(Version, TheClusterGoesUpWhenAllAreThere) {
  const Downgrade none;
  EXPECT_EQ(next_cluster_version(std::nullopt, v("3.7.1"), none), v("3.7.0"));
  // Somebody does not answer: the least there is, until he does.
  EXPECT_EQ(next_cluster_version(std::nullopt, std::nullopt, none), v("3.0.0"));
  EXPECT_EQ(next_cluster_version(v("3.0.0"), std::nullopt, none), std::nullopt);
  EXPECT_EQ(next_cluster_version(v("3.0.0"), v("3.5.17"), none), v("3.5.0"));
  EXPECT_EQ(next_cluster_version(v("3.5.0"), v("3.5.17"), none), std::nullopt);
  EXPECT_EQ(next_cluster_version(v("3.5.0"), v("3.7.1"), none), v("3.7.0"));
  // A member that is older than the cluster changes nothing.
  EXPECT_EQ(next_cluster_version(v("3.7.0"), v("3.6.1"), none), std::nullopt);
}

TEST(Version, TheClusterGoesDownByOneWhenAsked) {
  const Downgrade to_36{true, "3.6.0"};
  EXPECT_EQ(next_cluster_version(v("3.7.0"), v("3.7.1"), to_36), v("3.6.0"));
  // Done; and it does not go up again while the downgrade stands.
  EXPECT_EQ(next_cluster_version(v("3.6.0"), v("3.7.1"), to_36), std::nullopt);
  EXPECT_EQ(next_cluster_version(v("3.7.0"), v("3.7.1"), {true, "3.5.0"}), std::nullopt);
  EXPECT_EQ(next_cluster_version(v("3.7.0"), v("3.8.0"), to_36), std::nullopt);
  EXPECT_FALSE(is_downgraded({v("3.7.1"), v("3.6.4")}, to_36));
  EXPECT_FALSE(is_downgraded({v("3.6.4"), std::nullopt}, to_36));
  EXPECT_TRUE(is_downgraded({v("3.6.1"), v("3.6.4")}, to_36));
  EXPECT_FALSE(is_downgraded({v("3.6.1")}, {}));
}

}  // namespace
}  // namespace keelson::membership
