#include "node/log_debt.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/random.h"

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
  EXPECT_FALSE(debt.should_mark());
  debt.handed(Index(152), 1);
  debt.durable(Index(152));
  EXPECT_TRUE(debt.should_mark());
}

// A small store would have no mark for days otherwise.
TEST(LogDebt, AStoreThatHasRestedFlushesForAMark) {
  LogDebt debt(kLimits, {.marked = Index(1), .durable = Index(1), .applied = Index(1)});
  debt.handed(Index(101), 100);
  EXPECT_FALSE(debt.should_flush(true));
  debt.handed(Index(102), 100);
  EXPECT_FALSE(debt.should_flush(false));
  EXPECT_TRUE(debt.should_flush(true));
  debt.flush_asked();
  EXPECT_FALSE(debt.should_flush(true));
}

// What got durable on the way does not put the next mark off.
TEST(LogDebt, AFlushForAMarkCountsFromTheMark) {
  LogDebt debt(kLimits, {.marked = Index(1), .durable = Index(1), .applied = Index(1)});
  debt.handed(Index(60), 100);
  debt.durable(Index(60));
  debt.handed(Index(102), 100);
  EXPECT_TRUE(debt.should_flush(true));
  debt.durable(Index(102));
  EXPECT_TRUE(debt.should_mark());
  debt.handed(Index(103), 100);
  EXPECT_FALSE(debt.should_flush(true));
  debt.mark_asked();
  EXPECT_FALSE(debt.should_flush(true));
  debt.handed(Index(203), 100);
  EXPECT_TRUE(debt.should_flush(true));
}

// As after a start whose store was not durable as far as it is now: there is no mark to be had
// there, and one more flush brings one.
TEST(LogDebt, AMarkThatCannotBeMadeDoesNotKeepTheStoreFromFlushing) {
  LogDebt debt(kLimits, {.marked = Index(1), .durable = Index(150), .applied = Index(160)});
  ASSERT_TRUE(debt.should_mark());
  EXPECT_FALSE(debt.should_flush(true));
  debt.handed(Index(250), 100);
  EXPECT_FALSE(debt.should_flush(true));
  debt.handed(Index(251), 100);
  EXPECT_TRUE(debt.should_flush(true));
}

// The store is durable a bit later than etcd's, and the marks are where they would be.
TEST(LogDebt, MarksAreWhereEtcdHasItsSnapshots) {
  for (uint64_t late = 0; late <= 100; late += 20) {
    SCOPED_TRACE(late);
    LogDebt debt(kLimits, {});
    std::vector<uint64_t> marks;
    for (uint64_t i = 1; i <= 500; ++i) {
      debt.handed(Index(i), 10);
      if (i <= late) continue;
      debt.durable(Index(i - late));
      if (!debt.should_mark()) continue;
      marks.push_back(debt.mark_index().value);
      debt.mark_asked();
      debt.mark_made();
      EXPECT_EQ(debt.marked_index(), Index(marks.back()));
    }
    EXPECT_EQ(marks, late == 100 ? (std::vector<uint64_t>{101, 202, 303})
                                 : (std::vector<uint64_t>{101, 202, 303, 404}));
  }
}

// The log is to let go of what it can when a mark more is behind, by bytes, or for want of space.
TEST(LogDebt, AMarkThatIsLateIsAsFarAsTheStoreIsDurable) {
  LogDebt late(kLimits, {});
  for (uint64_t i = 1; i <= 250; ++i) late.handed(Index(i), 10);
  late.durable(Index(202));
  EXPECT_EQ(late.mark_index(), Index(202));
  late.mark_asked();
  late.mark_made();
  EXPECT_FALSE(late.should_mark());

  LogDebt large(kLimits, {});
  for (uint64_t i = 1; i <= 120; ++i) large.handed(Index(i), 100);
  large.durable(Index(115));
  EXPECT_EQ(large.mark_index(), Index(115));

  LogDebt hurried(kLimits, {});
  for (uint64_t i = 1; i <= 120; ++i) hurried.handed(Index(i), 10);
  hurried.durable(Index(115));
  EXPECT_EQ(hurried.mark_index(), Index(101));
  hurried.hurry(true);
  EXPECT_EQ(hurried.mark_index(), Index(115));
}

// Whatever comes in whichever order: a mark is where the store is durable, what no mark lets go of
// is bounded once the store is durable, and no byte of it is forgotten.
TEST(LogDebt, WhatIsNotLetGoOfIsBounded) {
  SeededRandom random(11);
  for (int history = 0; history < 200; ++history) {
    LogDebt debt(kLimits, {});
    std::vector<uint64_t> bytes{0};  // of each entry
    uint64_t handed = 0, durable = 0, asked = 0, marked = 0;
    for (int step = 0; step < 400; ++step) {
      switch (random.below(6)) {
        case 0:
        case 1:
        case 2: {
          uint64_t more = 0;
          for (uint64_t n = 1 + random.below(30); n > 0; --n) {
            bytes.push_back(random.below(200));
            more += bytes.back();
            ++handed;
          }
          debt.handed(Index(handed), more);
          break;
        }
        case 3:
          durable += random.below(handed - durable + 1);
          debt.durable(Index(durable));
          break;
        case 4:
          if (asked == marked && debt.should_mark()) {
            asked = debt.mark_index().value;
            ASSERT_GT(asked, marked);
            ASSERT_LE(asked, durable);
            debt.mark_asked();
          }
          break;
        default:
          if (asked == marked) break;
          if (random.below(4) == 0) {
            debt.mark_failed();
            asked = marked;
          } else {
            debt.mark_made();
            marked = asked;
          }
      }
      uint64_t outstanding = 0, since = 0;
      for (uint64_t i = durable + 1; i <= handed; ++i) outstanding += bytes[i];
      for (uint64_t i = marked + 1; i <= handed; ++i) since += bytes[i];
      ASSERT_GE(debt.unflushed_bytes(), outstanding);
      ASSERT_GE(debt.unflushed_bytes() + debt.unmarked_bytes(), since);
      if (asked == marked && !debt.should_mark()) {
        ASSERT_LE(durable - marked, 130u);  // by the end of what was handed together
        ASSERT_LT(debt.unmarked_bytes(), 10'000u);
      }
    }
  }
}

TEST(LogDebt, WhoWantsMarksOftenHasThemOften) {
  using std::chrono::milliseconds;
  using Limits = LogDebt::Limits;
  EXPECT_EQ(Limits::with_marks_every(100'000).flush_pause, std::chrono::seconds(10));
  EXPECT_EQ(Limits::with_marks_every(10'000).flush_pause, std::chrono::seconds(10));
  EXPECT_EQ(Limits::with_marks_every(1'000).flush_pause, std::chrono::seconds(1));
  EXPECT_EQ(Limits::with_marks_every(5).flush_pause, milliseconds(50));
  EXPECT_EQ(Limits::with_marks_every(5).mark_entries, 5u);
  EXPECT_EQ(Limits::with_marks_every(0).mark_entries, Limits().mark_entries);
  EXPECT_EQ(Limits::with_marks_every(0).flush_pause, Limits().flush_pause);
}

// What the log has not let go of is still owed.
TEST(LogDebt, AMarkThatWasNotMadeIsDueAgain) {
  LogDebt debt(kLimits, {});
  debt.handed(Index(101), 100);
  debt.durable(Index(101));
  debt.mark_asked();
  debt.mark_failed();
  EXPECT_TRUE(debt.should_mark());
  EXPECT_EQ(debt.unmarked_entries(), 101u);
  debt.mark_asked();
  debt.handed(Index(202), 100);
  debt.durable(Index(202));
  debt.mark_made();
  EXPECT_EQ(debt.unmarked_entries(), 101u);
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
  EXPECT_TRUE(LogDebt(kLimits, {.marked = Index(5), .durable = Index(106), .applied = Index(106)})
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
