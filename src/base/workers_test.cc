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
  Workers workers({.threads = 1, .threads_per_owner = 1});
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
  Workers workers({.threads = 3, .threads_per_owner = 2});
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

TEST(Workers, EachIsReachedBetweenItsJobs) {
  Workers workers({.threads = 3, .threads_per_owner = 3});
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
