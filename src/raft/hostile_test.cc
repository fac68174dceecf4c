// Members under arbitrary messages: nothing that a peer sends ends the process or breaks an
// invariant. What etcd-raft would panic about is reported to the logger, and refused.

#include <gtest/gtest.h>

#include "base/random.h"
#include "base/test_seeds.h"
#include "raft/hostile_world.h"

namespace keelson::raft {
namespace {

TEST(Hostile, ArbitraryMessagesNeitherCrashNorBreakInvariants) {
  for_each_seed(20, [](uint64_t seed) {
    SeededRandom random(seed);
    int lines = 0;
    for (int round = 0; round < 75; ++round) {
      Victim victim(random);
      for (int step = 0; step < 300; ++step) victim.step();
      lines += victim.logger.lines;
    }
    EXPECT_GT(lines, 0);
  });
}

}  // namespace
}  // namespace keelson::raft
