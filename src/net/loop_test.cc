// Loops, timers and the output queue: the ground everything in net/ stands on.

#include "net/loop.h"

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "base/random.h"
#include "base/test_seeds.h"
#include "base/text.h"
#include "net/memory_connection.h"
#include "net/out_queue.h"
#include "net/timer_wheel.h"

namespace keelson::net {
namespace {

using std::chrono::milliseconds;

class Recorder final : public Timer {
 public:
  explicit Recorder(std::vector<int>* fired, int id) : fired_(*fired), id_(id) {}
  void on_timer() override { fired_.push_back(id_); }

 private:
  std::vector<int>& fired_;
  int id_;
};

// Against a plain map from timer to due time.
TEST(TimerWheelTest, FiresWhatAListWould) {
  for_each_seed(20, [](uint64_t seed) {
    SeededRandom random(seed);
    MonotonicTime now{Duration(static_cast<int64_t>(random.below(1'000'000'000'000)))};
    TimerWheel wheel(now);
    wheel.advance(now);
    std::vector<int> fired;
    std::vector<std::unique_ptr<Recorder>> timers;
    std::map<int, MonotonicTime> twin;
    for (int i = 0; i < 50; ++i) timers.push_back(std::make_unique<Recorder>(&fired, i));
    for (int step = 0; step < 2000; ++step) {
      int id = static_cast<int>(random.below(50));
      if (random.below(3) == 0) {
        timers[static_cast<size_t>(id)]->cancel();
        twin.erase(id);
      } else {
        int64_t range = random.below(2) ? 50 : 20'000;
        auto delay =
            Duration(static_cast<int64_t>(random.below(static_cast<uint64_t>(range))) * 1'000'000 +
                     static_cast<int64_t>(random.below(1'000'000)));
        wheel.arm(timers[static_cast<size_t>(id)].get(), now + delay);
        twin[id] = now + delay;
      }
      if (random.below(4) != 0) continue;
      now = now + milliseconds(random.below(random.below(10) ? 30 : 9000));
      fired.clear();
      wheel.advance(now);
      for (int due : fired) {
        ASSERT_TRUE(twin.contains(due));
        EXPECT_LE(twin[due], now) << "early";
        twin.erase(due);
      }
      for (auto& [left, due] : twin) EXPECT_GT(due + milliseconds(1), now) << "late: " << left;
      ASSERT_EQ(wheel.armed(), twin.size());
      auto next = wheel.next_due();
      ASSERT_EQ(next.has_value(), !twin.empty());
      for (auto& [left, due] : twin) EXPECT_LE(*next, due + milliseconds(1));
    }
  });
}

TEST(LoopTest, RunsPostsInOrderFromEachThread) {
  Loop loop("test");
  constexpr int kEach = 20000;
  std::vector<int> last(4, -1);
  std::atomic<int> wrong{0}, ran{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        loop.post([&, t, i] {
          if (last[static_cast<size_t>(t)] != i - 1) ++wrong;
          last[static_cast<size_t>(t)] = i;
          ++ran;
        });
      }
    });
  }
  for (auto& thread : threads) thread.join();
  loop.stop();
  EXPECT_EQ(ran, 4 * kEach);
  EXPECT_EQ(wrong, 0);
}

TEST(LoopTest, WakesFromSleep) {
  Loop loop("test");
  for (int i = 0; i < 300; ++i) {
    std::atomic<bool> ran{false};
    loop.post([&] {
      EXPECT_TRUE(loop.on_loop());
      ran = true;
      ran.notify_one();
    });
    ran.wait(false);
  }
}

TEST(LoopTest, TimersAndHooksOnAClockOfOurOwn) {
  ManualClock clock;
  Loop loop(&clock);
  std::string log;
  loop.after_batch([&] { log += "|"; });
  loop.post_after(milliseconds(20), [&] { log += "b"; });
  loop.post_after(milliseconds(10), [&] { log += "a"; });
  loop.post([&] { log += "x"; });
  loop.run_ready();
  EXPECT_EQ(log, "x|");
  EXPECT_EQ(loop.run_ready(), 0u);
  clock.advance(milliseconds(11));
  loop.run_ready();
  clock.advance(milliseconds(20));
  loop.run_ready();
  EXPECT_EQ(log, "x|a|b|");
}

TEST(LoopTest, RealTimersFire) {
  Loop loop("test");
  std::atomic<bool> fired{false};
  loop.post_after(milliseconds(5), [&] {
    fired = true;
    fired.notify_one();
  });
  fired.wait(false);
}

TEST(LoopTest, LetsGoOfWhatWasToComeLater) {
  auto held = std::make_shared<int>(0);
  {
    ManualClock clock;
    Loop loop(&clock);
    loop.post_after(milliseconds(10), [held] {});
    loop.post_after(milliseconds(20), [held] {});
  }
  EXPECT_EQ(held.use_count(), 1);
  {
    Loop loop("test");
    loop.post_after(std::chrono::hours(1), [held] {});
    loop.stop();
    EXPECT_EQ(held.use_count(), 2);
    loop.post_after(std::chrono::hours(1), [held] {});
    EXPECT_EQ(held.use_count(), 3);
  }
  EXPECT_EQ(held.use_count(), 1);
}

// What is let go of posts more, to a loop that ends.
TEST(LoopTest, LetsGoOfWhatIsPostedMeanwhile) {
  auto held = std::make_shared<int>(0);
  ManualClock clock;
  auto loop = std::make_unique<Loop>(&clock);
  auto post_more = [&loop = *loop, &held](int*) {
    loop.post([held] {});
    loop.post_after(milliseconds(1), [held] {});
  };
  loop->post_after(milliseconds(10), [last = std::shared_ptr<int>(held.get(), post_more)] {});
  loop.reset();
  EXPECT_EQ(held.use_count(), 1);
}

TEST(OutQueueTest, KeepsOrderAndBytes) {
  for_each_seed(20, [](uint64_t seed) {
    SeededRandom random(seed);
    OutQueue queue;
    std::string twin, got;
    for (int step = 0; step < 500; ++step) {
      std::string text(random.below(random.below(5) ? 100 : 40000),
                       static_cast<char>('a' + step % 26));
      if (random.below(2)) {
        queue.append(text);
        twin += text;
      } else {
        Bytes bytes = Bytes::copy(text);
        size_t from = text.empty() ? 0 : random.below(text.size());
        queue.append(bytes, from, text.size() - from);
        twin += text.substr(from);
      }
      while (queue.size() > 0 && random.below(3)) {
        iovec pieces[4];
        size_t count = queue.gather(pieces);
        size_t offered = 0;
        for (size_t i = 0; i < count; ++i) offered += pieces[i].iov_len;
        size_t take = 1 + random.below(offered);
        for (size_t i = 0, left = take; left > 0; ++i) {
          size_t n = std::min(left, pieces[i].iov_len);
          got.append(static_cast<char*>(pieces[i].iov_base), n);
          left -= n;
        }
        queue.consume(take);
      }
      ASSERT_EQ(got.size() + queue.size(), twin.size());
    }
    EXPECT_TRUE(twin.starts_with(got));
  });
}

}  // namespace
}  // namespace keelson::net
