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
  for_each_seed({.count = 20, .also = {1138753973207248795}}, [](uint64_t seed) {
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

// The term of a member never goes back, whatever it plays.
TEST(Hostile, AMessageWithoutATermIsNotTaken) {
  for (MessageType type : {MessageType::kMsgApp, MessageType::kMsgHeartbeat, MessageType::kMsgSnap,
                           MessageType::kMsgVoteResp, MessageType::kMsgTimeoutNow}) {
    TestGroup group(3);
    group.elect(1);
    group.isolate(1);
    ASSERT_TRUE(group.node(1).campaign().ok());  // which nobody hears of
    const Term term = group.term(1);
    for (uint64_t id : {1, 3}) {
      const StateType state = group.state(id);
      ASSERT_TRUE(
          group.node(id).step({.type = type, .to = MemberId(id), .from = MemberId(2)}).ok());
      group.node(id).check_invariants();
      EXPECT_EQ(group.state(id), state) << name_of(type);
    }
    EXPECT_EQ(group.term(1), term) << name_of(type);
  }
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
