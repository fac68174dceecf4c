// Heartbeats that leave late.

#include <gtest/gtest.h>

#include "node/heartbeat_watch.h"
#include "node/test_peers.h"

namespace keelson::node {
namespace {

using std::chrono::milliseconds;

TEST(HeartbeatWatch, TwoIntervalsAreTheMost) {
  HeartbeatWatch watch(milliseconds(100));
  MonotonicTime now;
  EXPECT_EQ(watch.sent(MemberId(1), now), Duration(0));
  now = now + milliseconds(200);
  EXPECT_EQ(watch.sent(MemberId(1), now), Duration(0));
  EXPECT_EQ(watch.sent(MemberId(2), now), Duration(0));  // its first
  now = now + milliseconds(201);
  EXPECT_EQ(watch.sent(MemberId(1), now), milliseconds(1));
  EXPECT_EQ(watch.sent(MemberId(1), now), milliseconds(-200));
  now = now + milliseconds(1000);
  EXPECT_EQ(watch.sent(MemberId(2), now), milliseconds(1001));
  watch.reset();
  now = now + milliseconds(1000);
  EXPECT_EQ(watch.sent(MemberId(1), now), Duration(0));
}

class HeartbeatTest : public AmongPeers {
 protected:
  // The lane does not get to run for so long.
  void stand_still(Duration time) {
    member_.schedule.hold(member_.schedule.consensus);
    const MonotonicTime end = now() + time;
    until([&] { return now() >= end; }, time);
    member_.schedule.release();
  }
  bool get_on() {
    const MonotonicTime end = now() + milliseconds(1000);
    return until([&] { return now() >= end; }, milliseconds(2000));
  }
};

TEST_F(HeartbeatTest, ALeaderThatStoodStillIsLateForEachOfTheOthers) {
  lead();
  ASSERT_TRUE(get_on());
  EXPECT_EQ(state().heartbeats_late, 0u);
  stand_still(milliseconds(450));
  ASSERT_TRUE(get_on());
  EXPECT_EQ(state().heartbeats_late, 2u);
  EXPECT_TRUE(member_.node().is_leader());
}

// That is what etcd's text blames, and what it waits for.
TEST_F(HeartbeatTest, ADiskThatStandsStillMakesNobodyLate) {
  lead();
  peers_.silent.insert(others_[0]);  // or it would hand over
  member_.schedule.hold(member_.schedule.log);
  member_.put("a", "b", [](const apply::Reply&) {});
  const MonotonicTime end = now() + milliseconds(3000);
  ASSERT_TRUE(until([&] { return now() >= end; }, milliseconds(4000)));
  EXPECT_TRUE(state().log_stalled);
  EXPECT_EQ(state().heartbeats_late, 0u);
}

}  // namespace
}  // namespace keelson::node
