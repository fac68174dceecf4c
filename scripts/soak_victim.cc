// What scripts/soak has to find: tests that fail for some seeds, each in another way. Run by
// scripts/soak-test only.

#include <gtest/gtest.h>

#include "base/check.h"
#include "base/test_seeds.h"

namespace keelson {
namespace {

TEST(Victim, IsWell) {
  for_each_seed(1, [](uint64_t) {});
}

TEST(Victim, Fails) {
  for_each_seed(1, [](uint64_t seed) { EXPECT_NE(seed % 4096, 5u); });
}

TEST(Victim, Dies) {
  for_each_seed(1, [](uint64_t seed) { CHECK(seed % 4096 != 7); });
}

TEST(Victim, TakesNoSeed) {}

}  // namespace
}  // namespace keelson
