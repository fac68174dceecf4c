// What a World's clocks show, whatever happens to whose they are.

#include "sim/world.h"

#include <gtest/gtest.h>

#include "base/quiet_log.h"
#include "base/random.h"

namespace keelson::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class WorldTest : public testing::Test {
 public:
  WorldTest() : random_(1), world_(random_, 3, {}) {
    world_.set_clock(0, 1'050'000);
    world_.set_clock(1, 950'000);
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(world_.start(i).ok());
  }

  void run(Duration time) {
    world_.run_until([] { return false; }, time);
  }
  Duration shown(int i) { return world_.member(i).schedule.now().since_origin; }
  // Of what its clock shows, but for what is between two of its timers.
  void expect_about(Duration shown, Duration expected) {
    EXPECT_LE(shown - expected, milliseconds(200));
    EXPECT_GE(shown - expected, -milliseconds(200));
  }

 protected:
  log::QuietLog quiet_;
  SeededRandom random_;
  World world_;
};

TEST_F(WorldTest, ClocksGoAtTheirOwnPace) {
  const Duration before[] = {shown(0), shown(1), shown(2)};
  run(seconds(20));
  expect_about(shown(0) - before[0], milliseconds(21'000));
  expect_about(shown(1) - before[1], milliseconds(19'000));
  expect_about(shown(2) - before[2], milliseconds(20'000));
}

TEST_F(WorldTest, TheClockOfAProcessThatStandsStillGoesOn) {
  for (int i = 0; i < 2; ++i) {
    const Duration before = shown(i);
    world_.pause(i);
    run(seconds(4));
    EXPECT_EQ(shown(i), before);
    world_.resume(i);
    expect_about(shown(i) - before, milliseconds(i == 0 ? 4200 : 3800));
  }
}

TEST_F(WorldTest, AMachineThatIsSuspendedMissesTheTime) {
  for (int i = 0; i < 2; ++i) {
    run(seconds(1));
    const Duration before = shown(i);
    world_.suspend(i);
    run(seconds(4));
    world_.resume(i);
    expect_about(shown(i), before);
    run(seconds(10));
    expect_about(shown(i) - before, milliseconds(i == 0 ? 10'500 : 9'500));
  }
}

TEST_F(WorldTest, WhoDiesWhileSuspendedHasMissedItToo) {
  const Duration before = shown(0);
  world_.suspend(0);
  run(seconds(4));
  world_.kill(0, true);
  ASSERT_TRUE(world_.start(0).ok());
  expect_about(shown(0), before);
}

TEST_F(WorldTest, AllClocksGoOnWhileAllStandStill) {
  const Duration before[] = {shown(0), shown(1), shown(2)};
  world_.pause(1);
  world_.freeze(seconds(100));
  EXPECT_EQ(shown(1), before[1]);
  world_.resume(1);
  expect_about(shown(0) - before[0], seconds(105));
  expect_about(shown(1) - before[1], seconds(95));
  expect_about(shown(2) - before[2], seconds(100));
}

TEST_F(WorldTest, TheWallClockIsSetAndTheOtherOneNot) {
  const node::Schedule& clock = world_.member(2).schedule;
  const Duration shown_before = shown(2), wall_before = clock.unix_time();
  world_.set_wall_clock(2, -std::chrono::hours(3));
  EXPECT_EQ(shown(2), shown_before);
  EXPECT_EQ(clock.unix_time(), wall_before - std::chrono::hours(3));
  world_.set_wall_clock(2, {});
  EXPECT_EQ(clock.unix_time(), wall_before);
}

}  // namespace
}  // namespace keelson::sim
