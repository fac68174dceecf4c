// An hour of writes with compactions in between, in simulated time: what waits to be removed stays
// bounded, although more is written than the gentle pace removes.

#include "mvcc/compaction_pace.h"

#include <gtest/gtest.h>

#include "backend/memory_backend.h"
#include "base/text.h"
#include "mvcc/store.h"

namespace keelson::mvcc {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

// 260 puts a second against 200 removals a second: the proportions of 130,000 to 100,000.
constexpr size_t kBatchLimit = 2;
constexpr Duration kSleep = milliseconds(10);
constexpr Duration kTick = milliseconds(50);
constexpr int kPutsPerTick = 13;
constexpr uint64_t kPutsPerSecond = 260;
constexpr int kKeys = 100;

class Hour {
 public:
  explicit Hour(bool adaptive) : adaptive_(adaptive) {
    auto opened = Store::open(&backend_, {});
    EXPECT_TRUE(opened.ok());
    store_ = *std::move(opened);
  }

  // The most that was ever due, looked at once a second.
  uint64_t run(Duration compact_interval) {
    Duration next_step = kTick, next_compaction = compact_interval;
    for (Duration now{0}; now < std::chrono::hours(1); now += kTick) {
      for (int i = 0; i < kPutsPerTick; ++i) put();
      if (now >= next_compaction) {
        const int64_t newest = store_->begin().revision();
        EXPECT_TRUE(store_->compact(newest).ok());
        next_compaction += compact_interval;
      }
      publish();
      most_ = std::max(most_, store_->compaction_debt());
      next_step = std::max(next_step, now);
      while (store_->compacting() && next_step < now + kTick) next_step += step();
    }
    return most_;
  }

 private:
  void put() {
    EXPECT_TRUE(store_->begin().put({.key = cat("key", ++count_ % kKeys), .value = "x"}).ok());
  }
  void publish() { EXPECT_TRUE(store_->publish(++index_, Term(1)).ok()); }
  Duration step() {
    constexpr Duration kTook = microseconds(50);
    store_->compact_step(pace_.step());
    publish();
    return kTook + (adaptive_ ? pace_.pause(store_->compaction_debt(), kTook) : kSleep);
  }

  const bool adaptive_;
  CompactionPace pace_{kBatchLimit, kSleep};
  backend::MemoryBackend backend_;
  std::unique_ptr<Store> store_;
  Index index_{0};
  int count_ = 0;
  uint64_t most_ = 0;
};

TEST(CompactionPace, TheGentlePaceAloneFallsBehindWithoutEnd) {
  EXPECT_GT(Hour(false).run(seconds(2)), 150'000u);
}

// due() may count a thousand more than there are.
constexpr uint64_t kSlack = 1024;

TEST(CompactionPace, DebtIsBoundedByTheIntervalOfCompactions) {
  EXPECT_LT(Hour(true).run(seconds(60)), 60 * kPutsPerSecond + 2 * kSlack);
}

TEST(CompactionPace, DebtIsBoundedHoweverOftenCompactionsCome) {
  uint64_t seconds_to_catch_up = 5;
  EXPECT_LT(Hour(true).run(seconds(2)), (seconds_to_catch_up + 2) * kPutsPerSecond + 2 * kSlack);
}

TEST(CompactionPace, GentleWhenThereIsLittleToRemove) {
  CompactionPace pace(1000, milliseconds(10));
  EXPECT_EQ(pace.step(), 1000u);
  EXPECT_EQ(pace.pause(0, microseconds(500)), milliseconds(10));
  EXPECT_EQ(pace.pause(400'000, microseconds(500)), milliseconds(10));
  EXPECT_EQ(pace.pause(5'000'000, microseconds(500)), milliseconds(1));
  EXPECT_EQ(pace.pause(500'000'000, microseconds(500)), microseconds(500));
  EXPECT_EQ(pace.pause(400'000, microseconds(500), /*awaited=*/true), microseconds(500));
  EXPECT_EQ(pace.pause(400'000, seconds(1), /*awaited=*/true), milliseconds(10));
}

TEST(CompactionPace, LargeBatchesAreSplitAndSmallOnesStay) {
  CompactionPace large(50'000, milliseconds(100));
  EXPECT_EQ(large.step(), 1000u);
  EXPECT_EQ(large.pause(1, Duration(0)), milliseconds(2));
  CompactionPace small(10, seconds(1));
  EXPECT_EQ(small.step(), 10u);
  EXPECT_EQ(small.pause(10, Duration(0)), seconds(1));
  EXPECT_EQ(CompactionPace(1000, Duration(0)).pause(1'000'000, milliseconds(1)), Duration(0));
}

}  // namespace
}  // namespace keelson::mvcc
