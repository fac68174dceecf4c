// Members under arbitrary messages: nothing that a peer sends ends the process or breaks an
// invariant. What etcd-raft would panic about is reported to the logger, and refused.

#include <gtest/gtest.h>

#include "base/random.h"
#include "base/test_seeds.h"
#include "raft/hostile_world.h"
#include "raft/test_group.h"

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

TEST(Hostile, ASnapshotOfAnImpossibleTermIsNotTaken) {
  TestGroup group(3);
  group.elect(1);
  group.isolate(1);
  group.elect(2);
  const Index committed = group.commit(3);
  const Term term = group.term(3);
  ASSERT_EQ(term, Term(3));
  // Older than what is committed, newer than the leader that sends it, and then as it should be.
  for (uint64_t of : {term.value - 1, term.value + 1, term.value}) {
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->metadata.conf_state.voters = {MemberId(1), MemberId(2), MemberId(3)};
    snapshot->metadata.index = committed + 100;
    snapshot->metadata.term = Term(of);
    Message message{.type = MessageType::kMsgSnap, .to = MemberId(3), .from = MemberId(2)};
    message.term = term;
    message.snapshot = std::move(snapshot);
    ASSERT_TRUE(group.node(3).step(std::move(message)).ok());
    group.node(3).check_invariants();
    EXPECT_EQ(group.commit(3), committed + (of == term.value ? 100 : 0)) << of;
  }
}

}  // namespace
}  // namespace keelson::raft
