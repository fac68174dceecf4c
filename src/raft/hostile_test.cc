// Members under arbitrary messages: nothing that a peer sends ends the process or breaks an
// invariant. What etcd-raft would panic about is reported to the logger, and refused.

#include <gtest/gtest.h>

#include "raft/hostile_world.h"
#include "raft/test_seed.h"

namespace keelson::raft {
namespace {

TEST(Hostile, ArbitraryMessagesNeitherCrashNorBreakInvariants) {
  SeededRandom random(test_seed());
  int lines = 0;
  for (int round = 0; round < 1500; ++round) {
    Victim victim(random);
    for (int step = 0; step < 300; ++step) victim.step();
    lines += victim.logger.lines;
  }
  EXPECT_GT(lines, 0);
}

}  // namespace
}  // namespace keelson::raft
