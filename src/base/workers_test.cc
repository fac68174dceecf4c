#include "base/workers.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <vector>

namespace keelson {
namespace {

// A job that says when it has begun and then stays until it is let go.
struct Gate {
  std::promise<void> begun;
  std::promise<void> go;

  Workers::Job job() {
    return [this](int) {
      begun.set_value();
      go.get_future().wait();
    };
  }
  void wait() { begun.get_future().wait(); }
};

TEST(Workers, OwnersTakeTurns) {
  Workers workers({.threads = 1, .threads_per_connection = 1});
  Gate gate;
  ASSERT_TRUE(workers.run(1, gate.job()));
  gate.wait();
  std::vector<int> order;
  std::promise<void> done;
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(workers.run(1, [&, i](int) { order.push_back(10 + i); }));
  ASSERT_TRUE(workers.run(2, [&](int) { order.push_back(20); }));
  ASSERT_TRUE(workers.run(3, [&](int) { order.push_back(30); }));
  ASSERT_TRUE(workers.run(3, [&](int) { order.push_back(31); }));
  ASSERT_TRUE(workers.run(1, [&](int) { done.set_value(); }));
  gate.go.set_value();
  done.get_future().wait();
  EXPECT_EQ(order, (std::vector<int>{20, 30, 10, 31, 11, 12}));
}

TEST(Workers, OneOwnerHasOnlySomeOfTheThreads) {
  Workers workers({.threads = 3, .threads_per_connection = 2});
  Gate first, second;
  std::atomic<bool> third{false};
  std::promise<void> third_done;
  ASSERT_TRUE(workers.run(1, first.job()));
  ASSERT_TRUE(workers.run(1, second.job()));
  first.wait();
  second.wait();
  ASSERT_TRUE(workers.run(1, [&](int) {
    third = true;
    third_done.set_value();
  }));
  std::promise<void> other;
  ASSERT_TRUE(workers.run(2, [&](int) { other.set_value(); }));
  other.get_future().wait();
  EXPECT_FALSE(third);
  first.go.set_value();
  third_done.get_future().wait();
  second.go.set_value();
}

TEST(Workers, RefusesWhenTooManyWait) {
  Workers workers({.threads = 1, .max_waiting = 2});
  Gate gate;
  ASSERT_TRUE(workers.run(1, gate.job()));
  gate.wait();
  EXPECT_TRUE(workers.run(1, [](int) {}));
  EXPECT_TRUE(workers.run(2, [](int) {}));
  EXPECT_FALSE(workers.run(3, [](int) {}));
  std::promise<void> done;
  workers.go_on(3, [&](int) { done.set_value(); });  // what was admitted before is not refused
  gate.go.set_value();
  done.get_future().wait();
}

TEST(Workers, WhatWaitingJobsHoldCounts) {
  Workers workers({.threads = 1, .max_waiting = 10, .bytes_as_one = 1000});
  Gate gate;
  ASSERT_TRUE(workers.run(1, gate.job()));
  gate.wait();
  std::promise<void> done;
  EXPECT_TRUE(workers.run(
      1, [](int) {}, 3'999));
  EXPECT_FALSE(workers.run(
      1, [](int) {}, 9'000));
  EXPECT_EQ(workers.times_over_share(), 1u);
  EXPECT_TRUE(workers.run(
      2, [](int) {}, 9'000));
  EXPECT_FALSE(workers.run(3, [](int) {}));
  EXPECT_EQ(workers.times_full(), 1u);
  workers.go_on(3, [&](int) { done.set_value(); });
  gate.go.set_value();
  done.get_future().wait();
}

TEST(Workers, AClientsConnectionsShareItsTurns) {
  Workers workers({.threads = 1, .threads_per_connection = 1});
  Gate gate;
  ASSERT_TRUE(workers.run(9, gate.job()));
  gate.wait();
  std::vector<int> order;
  std::promise<void> done;
  for (uint64_t connection = 10; connection < 13; ++connection) {
    for (int i = 0; i < 2; ++i) {
      ASSERT_TRUE(workers.run({1, connection}, [&, connection](int) {
        order.push_back(static_cast<int>(connection));
      }));
    }
  }
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(workers.run({2, 20}, [&](int) { order.push_back(20); }));
  }
  ASSERT_TRUE(workers.run({2, 20}, [&](int) { done.set_value(); }));
  gate.go.set_value();
  done.get_future().wait();
  workers.stop();
  EXPECT_EQ(std::vector<int>(order.begin(), order.begin() + 6),
            (std::vector<int>{10, 20, 11, 20, 12, 20}));
}

TEST(Workers, AClientLeavesAThreadToOthers) {
  Workers workers({.threads = 3, .threads_per_connection = 1, .threads_per_client = 2});
  Gate first, second;
  ASSERT_TRUE(workers.run({1, 10}, first.job()));
  ASSERT_TRUE(workers.run({1, 11}, second.job()));
  first.wait();
  second.wait();
  std::atomic<bool> third{false};
  std::promise<void> third_done, other;
  ASSERT_TRUE(workers.run({1, 12}, [&](int) {
    third = true;
    third_done.set_value();
  }));
  ASSERT_TRUE(workers.run({2, 20}, [&](int) { other.set_value(); }));
  other.get_future().wait();
  EXPECT_FALSE(third);
  second.go.set_value();
  third_done.get_future().wait();
  first.go.set_value();
}

TEST(Workers, AClientOfWhomManyWaitIsRefusedFirst) {
  Workers workers({.threads = 1, .max_waiting = 90});
  Gate gate;
  ASSERT_TRUE(workers.run(9, gate.job()));
  gate.wait();
  int taken = 0;
  for (uint64_t i = 0; i < 1000; ++i) taken += workers.run({1, 10 + i % 50}, [](int) {}) ? 1 : 0;
  EXPECT_LE(taken, 60);
  EXPECT_GE(taken, 50);
  EXPECT_EQ(workers.times_over_share(), 1000u - static_cast<uint64_t>(taken));
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(workers.run({2, 20}, [](int) {}));
  EXPECT_EQ(workers.times_full(), 0u);
  gate.go.set_value();
}

TEST(Workers, EachIsReachedBetweenItsJobs) {
  Workers workers({.threads = 3, .threads_per_connection = 3});
  Gate gate;
  ASSERT_TRUE(workers.run(1, gate.job()));
  gate.wait();
  std::vector<std::promise<int>> on(3);
  for (int i = 0; i < 3; ++i) {
    workers.run_on(i, [&on, i](int worker) { on[static_cast<size_t>(i)].set_value(worker); });
  }
  gate.go.set_value();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(on[static_cast<size_t>(i)].get_future().get(), i);
}

TEST(Workers, WhatWaitsAtTheEndIsDroppedUnrun) {
  auto held = std::make_shared<int>(0);
  std::atomic<bool> ran{false};
  Workers workers({.threads = 1});
  Gate gate;
  ASSERT_TRUE(workers.run(1, gate.job()));
  gate.wait();
  ASSERT_TRUE(workers.run(1, [held, &ran](int) { ran = true; }));
  std::promise<void> stopped;
  Thread stopper([&] {
    workers.stop();
    stopped.set_value();
  });
  gate.go.set_value();
  stopped.get_future().wait();
  stopper.join();
  // It may have run before stop() was called; after it, nothing holds it.
  EXPECT_EQ(held.use_count(), 1);
  EXPECT_TRUE(workers.run(1, [held, &ran](int) { ran = true; }));
  EXPECT_EQ(held.use_count(), 1);
}

}  // namespace
}  // namespace keelson
