#include "server/auto_compaction.h"

#include <gtest/gtest.h>

namespace keelson::server {
namespace {

MonotonicTime at(Duration d) { return {d}; }

TEST(CompactionSchedule, ByRevisionKeepsThatMany) {
  CompactionSchedule s({.by_revision = true, .revisions = 100, .period = {}}, at({}));
  EXPECT_EQ(s.interval(), minutes(5));
  EXPECT_EQ(s.tick(at(minutes(5)), 100), std::nullopt);
  EXPECT_EQ(s.tick(at(minutes(10)), 150), 50);
  s.succeeded(50, at(minutes(10)));
  EXPECT_EQ(s.tick(at(minutes(15)), 150), std::nullopt);
  EXPECT_EQ(s.tick(at(minutes(20)), 151), 51);
}

// Nothing in the first period; then, each tenth of it, the revision of one period ago, but no more
// often than once a period (an hour, where the period is longer).
TEST(CompactionSchedule, ByAgeCompactsAtTheRevisionOfOnePeriodAgo) {
  CompactionSchedule s({.by_revision = false, .revisions = 0, .period = minutes(10)}, at({}));
  ASSERT_EQ(s.interval(), minutes(1));
  s.note(1000);
  std::vector<std::pair<int, int64_t>> compactions;
  for (int minute = 1; minute <= 30; ++minute) {
    if (auto target = s.tick(at(minutes(minute)), 1000 + minute)) {
      compactions.emplace_back(minute, *target);
      s.succeeded(*target, at(minutes(minute)));
    }
    s.note(1000 + minute);
  }
  EXPECT_EQ(compactions,
            (std::vector<std::pair<int, int64_t>>{{10, 1000}, {20, 1009}, {30, 1019}}));
}

TEST(CompactionSchedule, AFailedOneIsTriedAgainAtTheNextTick) {
  CompactionSchedule s({.by_revision = false, .revisions = 0, .period = minutes(10)}, at({}));
  for (int minute = 0; minute < 10; ++minute) s.note(500 + minute);
  EXPECT_EQ(s.tick(at(minutes(10)), 600), 500);
  EXPECT_EQ(s.tick(at(minutes(11)), 600), 500);
}

}  // namespace
}  // namespace keelson::server
