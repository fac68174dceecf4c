// What a leader does whose log's device does not complete a write, among members that a test plays.

#include <gtest/gtest.h>

#include <optional>

#include "node/log_watch.h"
#include "node/test_peers.h"

namespace keelson::node {
namespace {

class LogStallTest : public AmongPeers {
 protected:
  // The device takes what it is given and does not come back with it.
  void stall() {
    member_.schedule.hold(member_.schedule.log);
    member_.put("waits", "x", [this](apply::Reply) { answered_ = true; });
  }

  bool read() {
    std::optional<absl::Status> answer;
    member_.confirm([&](absl::Status status) { answer = std::move(status); });
    return until([&] { return answer.has_value(); }, std::chrono::seconds(10)) && answer->ok();
  }

  bool answered_ = false;
};

TEST_F(LogStallTest, TheLeaderHandsOverToOneThatHasStoredMore) {
  lead();
  stall();
  ASSERT_TRUE(until([&] { return !peers_.told_to_lead.empty(); }, std::chrono::seconds(2)));
  EXPECT_TRUE(state().log_stalled);
  EXPECT_EQ(state().log_stalls, 1u);
  EXPECT_EQ(state().leaderships_yielded, 1u);
}

TEST_F(LogStallTest, ALeaderThatNobodyFollowsStepsDown) {
  lead();
  stall();
  ASSERT_TRUE(until([&] { return !member_.node().is_leader(); }, std::chrono::seconds(4)));
  EXPECT_EQ(state().leaderships_yielded, 2u);
  // As soon as the device gets on it may lead again.
  member_.schedule.release();
  ASSERT_TRUE(until([&] { return !state().log_stalled; }, std::chrono::seconds(1)));
  EXPECT_TRUE(until([&] { return member_.node().is_leader(); }, std::chrono::seconds(10)));
  EXPECT_TRUE(read());
}

// Nobody else could lead: then it is better to serve what needs no disk.
TEST_F(LogStallTest, WithoutAQuorumOfOthersItStays) {
  lead();
  // What the member says of itself is stored by everybody.
  ASSERT_TRUE(until([&] { return member_.node().is_published() && state().proposals_pending == 0; },
                    std::chrono::seconds(5)));
  peers_.silent.insert(others_[0]);
  stall();
  ASSERT_TRUE(until([&] { return state().log_stalled.load(); }, std::chrono::seconds(2)));
  EXPECT_FALSE(until([&] { return !member_.node().is_leader(); }, std::chrono::seconds(6)));
  EXPECT_TRUE(peers_.told_to_lead.empty());
  EXPECT_EQ(state().leaderships_yielded, 0u);
  EXPECT_TRUE(read());
  member_.schedule.release();
  EXPECT_TRUE(until([&] { return !state().log_stalled; }, std::chrono::seconds(1)));
}

TEST_F(LogStallTest, ADeviceThatIsSlowAndGetsOnIsNoneThatStalls) {
  lead();
  for (int i = 0; i < 20; ++i) {
    stall();
    const MonotonicTime end = now() + std::chrono::milliseconds(800);
    until([&] { return now() >= end; }, std::chrono::seconds(1));
    member_.schedule.release();
    answered_ = false;
    ASSERT_TRUE(until([&] { return answered_; }, std::chrono::seconds(1)));
  }
  EXPECT_EQ(state().log_stalls, 0u);
  EXPECT_TRUE(member_.node().is_leader());
}

// One that is cut off from its quorum finds out by itself, too.
TEST_F(LogStallTest, ALeaderThatHearsOfNobodyStepsDown) {
  lead();
  peers_.silent = {others_[0], others_[1]};
  EXPECT_TRUE(until([&] { return !member_.node().is_leader(); }, std::chrono::seconds(3)));
  EXPECT_EQ(state().leader, 0u);
  EXPECT_FALSE(read());
}

TEST(LogWatch, CountsTicksInWhichNothingBecameDurable) {
  LogWatch watch(3);
  for (int i = 0; i < 10; ++i) watch.tick();
  EXPECT_FALSE(watch.stalled());
  watch.handed();
  watch.handed();
  watch.tick();
  watch.tick();
  watch.durable(1);
  watch.tick();
  watch.tick();
  EXPECT_FALSE(watch.stalled());
  watch.tick();
  EXPECT_TRUE(watch.stalled());
  EXPECT_TRUE(watch.at_timeout());
  watch.tick();
  EXPECT_FALSE(watch.at_timeout());
  watch.durable(1);
  EXPECT_FALSE(watch.stalled());
}

}  // namespace
}  // namespace keelson::node
