// What a LineBudget lets in, against a bucket that is filled byte by byte; and what it tells.

#include "base/line_budget.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <utility>
#include <vector>

#include "base/random.h"
#include "base/test_log.h"
#include "base/test_seeds.h"

namespace keelson {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::string_view kTold = "there was more to say of requests than the log takes";

class TestClock final : public Clock {
 public:
  MonotonicTime now() const override { return {Duration(now_.load())}; }
  Duration unix_time() const override { return Duration(now_.load()); }
  void advance(Duration by) { now_ += by.count(); }

 private:
  std::atomic<Duration::rep> now_{Duration(std::chrono::hours(1)).count()};
};

// Keeps tasks until it is told to run them.
class TestLane final : public Executor {
 public:
  void post(Task) override { FAIL() << "nothing is for now"; }
  void post_after(Duration delay, Task task) override {
    EXPECT_EQ(delay, seconds(1));
    tasks_.push_back(std::move(task));
  }
  size_t waiting() const { return tasks_.size(); }
  void run() {
    for (Task& task : std::exchange(tasks_, {})) task();
  }

 private:
  std::vector<Task> tasks_;
};

TEST(LineBudget, LetsInWhatABucketWould) {
  for_each_seed({}, [](uint64_t seed) {
    SeededRandom random(seed);
    TestClock clock;
    TestLane lane;
    log::TestLog log(log::Level::kWarn);
    LineBudget budget(clock, &lane, {.bytes_per_second = 1000, .bytes_at_once = 5000});
    int64_t free = 5000, left_out = 0;  // a millisecond is a byte
    for (int i = 0; i < 2000; ++i) {
      const auto passed = static_cast<int64_t>(random.below(random.below(10) == 0 ? 3000 : 100));
      clock.advance(milliseconds(passed));
      free = std::min<int64_t>(5000, free + passed);
      ASSERT_EQ(budget.may_write(), free > 0) << "line " << i << ", free " << free;
      if (free <= 0) {
        ++left_out;
        continue;
      }
      const auto size = static_cast<int64_t>(random.below(2000));
      budget.written(static_cast<size_t>(size));
      free -= size;
    }
    ASSERT_GT(left_out, 0);
    EXPECT_EQ(lane.waiting(), 1u);
    lane.run();
    const auto told = log.take(kTold);
    ASSERT_EQ(told.size(), 1u);
    EXPECT_EQ(told[0].fields.at("lines-left-out"), std::to_string(left_out));
  });
}

TEST(LineBudget, TellsOfEachStretchOnce) {
  TestClock clock;
  TestLane lane;
  log::TestLog log(log::Level::kWarn);
  LineBudget budget(clock, &lane, {.bytes_per_second = 10, .bytes_at_once = 10});
  ASSERT_TRUE(budget.may_write());
  budget.written(1000);
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(budget.may_write());
  EXPECT_EQ(lane.waiting(), 1u);
  EXPECT_TRUE(log.take(kTold).empty());
  lane.run();
  EXPECT_EQ(log.take(kTold).at(0).fields.at("lines-left-out"), "3");
  EXPECT_EQ(lane.waiting(), 0u);  // nothing is left to be told
  EXPECT_FALSE(budget.may_write());
  lane.run();
  EXPECT_EQ(log.take(kTold).at(0).fields.at("lines-left-out"), "1");
  clock.advance(seconds(100));
  EXPECT_TRUE(budget.may_write());
  EXPECT_EQ(lane.waiting(), 0u);
}

// However many threads there are, no more goes out at once than what may, and a line of each.
TEST(LineBudget, HoldsForThreadsTogether) {
  constexpr int kThreads = 4;
  constexpr int64_t kLine = 100, kAtOnce = 10'000;
  TestClock clock;
  TestLane lane;
  log::TestLog log(log::Level::kWarn);
  LineBudget budget(clock, &lane, {.bytes_per_second = 1, .bytes_at_once = kAtOnce});
  std::atomic<int64_t> bytes{0}, refused{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) {
        if (!budget.may_write()) {
          ++refused;
          continue;
        }
        bytes += kLine;
        budget.written(kLine);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GE(bytes, kAtOnce);
  EXPECT_LE(bytes, kAtOnce + kThreads * kLine);
  EXPECT_EQ(lane.waiting(), 1u);
  lane.run();
  EXPECT_EQ(log.take(kTold).at(0).fields.at("lines-left-out"), std::to_string(refused));
}

}  // namespace
}  // namespace keelson
