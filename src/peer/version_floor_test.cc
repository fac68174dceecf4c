// When members that say their cluster was taken down a version are believed.

#include "peer/version_floor.h"

#include <gtest/gtest.h>

namespace keelson::peer {
namespace {

using membership::Version;
using Said = std::vector<std::optional<Version>>;

TEST(VersionFloor, OnlyAQuorumOfTheVotersIsBelieved) {
  constexpr Version k35{3, 5, 0}, k36{3, 6, 0}, k37{3, 7, 0};
  const std::optional<Version> unknown;
  const struct {
    size_t voters;
    Said said;  // by the voters other than the one that asks
    bool believed;
  } cases[] = {
      {1, {}, false},
      {1, {k36}, true},  // who asks is a learner
      {1, {k37}, false},
      {2, {k36}, false},  // one of two is no quorum
      {2, {k36, k36}, true},
      {3, {k36, k36}, true},
      {3, {k36, k37}, false},
      {3, {k36, unknown}, false},
      {3, {unknown, unknown}, false},
      {3, {k37, k37}, false},
      // By one version at a time: this was no downgrade.
      {3, {k35, k35}, false},
      {3, {k36, k35}, false},
      {4, {k36, k36, k37}, false},
      {4, {k36, k36, k36}, true},
      {5, {k36, k36, k36, unknown}, true},
      {5, {k36, k36, k37, k37}, false},
  };
  for (const auto& c : cases) {
    std::string shown;
    for (const auto& version : c.said) shown += (version ? version->brief() : "?") + " ";
    EXPECT_EQ(taken_down_to(k37, c.said, c.voters), c.believed ? std::optional(k36) : std::nullopt)
        << c.voters << " voters, the others say " << shown;
  }
  EXPECT_EQ(taken_down_to(k36, {k35, k35}, 3), k35);
  EXPECT_EQ(taken_down_to({4, 0, 0}, {k37, k37}, 3), std::nullopt);
}

}  // namespace
}  // namespace keelson::peer
