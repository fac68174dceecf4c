#include "node/held_log.h"

#include <gtest/gtest.h>

namespace keelson::node {
namespace {

constexpr MemberId kA(1), kB(2);

TEST(HeldLogTest, HoldsWhatIsBehindTheOldestSnapshotOnItsWay) {
  const MonotonicTime now{std::chrono::seconds(1)};
  HeldLog held;
  EXPECT_EQ(held.needed(now), std::nullopt);
  held.begin(kA, Index(20));
  held.begin(kB, Index(10));
  EXPECT_EQ(held.needed(now + std::chrono::hours(1)), Index(10));
  held.end(kB, false, now);
  EXPECT_EQ(held.needed(now), Index(20));
  held.give_up();
  EXPECT_EQ(held.needed(now), std::nullopt);
  held.end(kA, true, now);
  EXPECT_EQ(held.needed(now), std::nullopt);
}

TEST(HeldLogTest, ASecondSnapshotThatIsRefusedTakesNothingFromTheFirst) {
  const MonotonicTime now{std::chrono::seconds(1)};
  HeldLog held;
  held.begin(kA, Index(20));
  held.begin(kA, Index(30));
  held.end(kA, false, now);
  EXPECT_EQ(held.needed(now), Index(20));
  held.end(kA, true, now);
  EXPECT_EQ(held.needed(now), Index(20));
  held.begin(kA, Index(40));
  EXPECT_EQ(held.needed(now + HeldLog::kAfterwards), Index(40));
}

TEST(HeldLogTest, HoldsItForAWhileAfterTheArrival) {
  const MonotonicTime now{std::chrono::seconds(1)};
  HeldLog held;
  held.begin(kA, Index(20));
  held.end(kA, true, now);
  EXPECT_EQ(held.needed(now + (HeldLog::kAfterwards - Duration(1))), Index(20));
  EXPECT_EQ(held.needed(now + HeldLog::kAfterwards), std::nullopt);
}

}  // namespace
}  // namespace keelson::node
