#include "node/log_debt.h"

#include <gtest/gtest.h>

namespace keelson::node {
namespace {

constexpr LogDebt::Limits kLimits{
    .mark_entries = 100, .mark_bytes = 10'000, .flush_entries = 1'000, .flush_bytes = 50'000'000};

TEST(LogDebt, AMarkIsDueByEntriesOrByBytes) {
  LogDebt debt(kLimits, {});
  debt.handed(Index(50), 100);
  debt.durable(Index(50));
  EXPECT_FALSE(debt.should_mark());
  debt.handed(Index(51), 20'000);
  EXPECT_FALSE(debt.should_mark());  // the store may still lose it
  debt.durable(Index(51));
  EXPECT_TRUE(debt.should_mark());
  debt.mark_asked();
  EXPECT_FALSE(debt.should_mark());
  debt.mark_made();
  EXPECT_FALSE(debt.should_mark());
  debt.handed(Index(151), 1);
  debt.durable(Index(151));
  EXPECT_TRUE(debt.should_mark());
}

// A small store would have no mark for days otherwise.
TEST(LogDebt, AStoreThatHasRestedFlushesForAMark) {
  LogDebt debt(kLimits, {.marked = Index(1), .durable = Index(1), .applied = Index(1)});
  debt.handed(Index(100), 100);
  EXPECT_FALSE(debt.should_flush(true));
  debt.handed(Index(101), 100);
  EXPECT_FALSE(debt.should_flush(false));
  EXPECT_TRUE(debt.should_flush(true));
  debt.flush_asked();
  EXPECT_FALSE(debt.should_flush(true));
}

// What the log has not let go of is still owed.
TEST(LogDebt, AMarkThatWasNotMadeIsDueAgain) {
  LogDebt debt(kLimits, {});
  debt.handed(Index(100), 100);
  debt.durable(Index(100));
  debt.mark_asked();
  debt.mark_failed();
  EXPECT_TRUE(debt.should_mark());
  EXPECT_EQ(debt.unmarked_entries(), 100u);
  debt.mark_asked();
  debt.handed(Index(200), 100);
  debt.durable(Index(200));
  debt.mark_made();
  EXPECT_EQ(debt.unmarked_entries(), 100u);
  EXPECT_TRUE(debt.should_mark());
}

TEST(LogDebt, AShortageCallsForAFlushAndForEveryMark) {
  LogDebt debt(kLimits, {.marked = Index(10), .durable = Index(11), .applied = Index(12)});
  EXPECT_FALSE(debt.should_mark());
  EXPECT_FALSE(debt.should_flush(false));
  debt.hurry(true);
  EXPECT_TRUE(debt.should_mark());
  EXPECT_TRUE(debt.should_flush(false));
  debt.flush_asked();
  debt.flush_over();
  EXPECT_FALSE(debt.should_flush(false));  // for so little, once
  for (uint64_t i = 13; i < 13 + 1'000 / 64; ++i) debt.handed(Index(i), 10);
  EXPECT_TRUE(debt.should_flush(false));
  debt.hurry(false);
  EXPECT_FALSE(debt.should_flush(false));
  EXPECT_FALSE(debt.should_mark());
}

// The store's write buffers have to last until there is space: when they are used up, the lane that
// writes stands still.
TEST(LogDebt, InAShortageFarLessMayBeOutstanding) {
  LogDebt debt({.flush_entries = 16'000, .flush_bytes = 1 << 30}, {});
  debt.handed(Index(1500), 100);
  EXPECT_FALSE(debt.is_over());
  debt.hurry(true);
  EXPECT_TRUE(debt.is_over());
  debt.durable(Index(1000));
  EXPECT_FALSE(debt.is_over());
  debt.handed(Index(2000), 300 << 20);
  EXPECT_TRUE(debt.is_over());
  debt.hurry(false);
  EXPECT_FALSE(debt.is_over());
}

TEST(LogDebt, AMarkThatACrashPreventedIsDueAtOnce) {
  EXPECT_TRUE(LogDebt(kLimits, {.marked = Index(5), .durable = Index(105), .applied = Index(105)})
                  .should_mark());
  EXPECT_TRUE(
      LogDebt(
          kLimits,
          {.marked = Index(5), .durable = Index(6), .applied = Index(6), .unmarked_bytes = 10'000})
          .should_mark());
}

// A store that never had anything durable could not be told from a new one, should the log go.
TEST(LogDebt, TheFirstEntriesCallForAFlush) {
  LogDebt debt(kLimits, {});
  EXPECT_FALSE(debt.should_flush(false));
  debt.handed(Index(1), 10);
  EXPECT_TRUE(debt.should_flush(false));
  debt.flush_asked();
  EXPECT_FALSE(debt.should_flush(false));
  debt.durable(Index(1));
  debt.flush_over();
  debt.handed(Index(2), 10);
  EXPECT_FALSE(debt.should_flush(false));
}

// As a member that has flushed once.
constexpr LogDebt::Position kFounded = {
    .marked = Index(0), .durable = Index(1), .applied = Index(1)};

TEST(LogDebt, LargeEntriesThatLeaveNothingBehindCallForAFlush) {
  LogDebt debt(kLimits, kFounded);
  uint64_t i = 1;
  while (!debt.should_flush(false)) debt.handed(Index(++i), 1'500'000);
  EXPECT_EQ(i, 35u);
  debt.flush_asked();
  EXPECT_FALSE(debt.should_flush(false));
  EXPECT_FALSE(debt.is_over());
  while (!debt.is_over()) debt.handed(Index(++i), 1'500'000);
  EXPECT_EQ(i, 68u);
  debt.durable(Index(i - 1));
  EXPECT_FALSE(debt.is_over());
  EXPECT_EQ(debt.unflushed_entries(), 1u);
  EXPECT_LE(debt.unflushed_bytes(), 1'500'000u);
}

TEST(LogDebt, SmallEntriesAreCountedToo) {
  LogDebt debt(kLimits, kFounded);
  for (uint64_t i = 2; i < 1'001; ++i) debt.handed(Index(i), 10);
  EXPECT_FALSE(debt.should_flush(false));
  debt.handed(Index(1'001), 10);
  EXPECT_TRUE(debt.should_flush(false));
  debt.durable(Index(501));
  EXPECT_FALSE(debt.should_flush(false));
  EXPECT_EQ(debt.unflushed_entries(), 500u);
  // Exact to within a grain, and never too few.
  EXPECT_GE(debt.unflushed_bytes(), 5'000u);
  EXPECT_LE(debt.unflushed_bytes(), 5'200u);
}

}  // namespace
}  // namespace keelson::node
