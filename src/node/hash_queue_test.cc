// Hashes of clients: one at a time and in order, with rests, a few waiting, none for nobody.

#include "node/hash_queue.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "node/test_lane.h"

namespace keelson::node {
namespace {

using std::chrono::milliseconds;

struct Asker {
  bool wanted = true;
  int alive = 0, steps = 0, done = 0;
};

// Needs `slices` of two milliseconds each.
class SomeWork final : public HashQueue::Work {
 public:
  SomeWork(ManualLane* lane, Asker* asker, int slices)
      : lane_(*lane), asker_(*asker), slices_(slices) {
    ++asker_.alive;
  }
  ~SomeWork() override { --asker_.alive; }
  bool wanted() const override { return asker_.wanted; }
  bool step() override {
    lane_.time = lane_.time + milliseconds(2);
    ++asker_.steps;
    if (--slices_ > 0) return false;
    ++asker_.done;
    return true;
  }

 private:
  ManualLane& lane_;
  Asker& asker_;
  int slices_;
};

class HashQueueTest : public ::testing::Test {
 protected:
  bool add(Asker* asker, int slices) {
    return queue_.add(std::make_unique<SomeWork>(&lane_, asker, slices));
  }
  ManualLane lane_;
  HashQueue queue_{lane_, lane_};
};

TEST_F(HashQueueTest, OneAtATimeInOrderWithRests) {
  Asker first, second;
  ASSERT_TRUE(add(&first, 3));
  ASSERT_TRUE(add(&second, 2));
  while (lane_.step()) {
    EXPECT_TRUE(second.steps == 0 || first.done == 1);
  }
  EXPECT_EQ(first.steps, 3);
  EXPECT_EQ(second.done, 1);
  EXPECT_EQ(lane_.delays, std::vector<Duration>(5, milliseconds(2)));
}

TEST_F(HashQueueTest, AFewWaitAndMoreAreRefused) {
  std::vector<Asker> askers(HashQueue::kMostWaiting + 1);
  for (Asker& asker : askers) ASSERT_TRUE(add(&asker, 2));
  Asker late;
  EXPECT_FALSE(add(&late, 1));
  EXPECT_EQ(late.alive, 0);
  while (askers.front().done == 0) ASSERT_TRUE(lane_.step());
  EXPECT_TRUE(add(&late, 1));
  EXPECT_FALSE(add(&late, 1));
  while (lane_.step()) {
  }
  for (const Asker& asker : askers) EXPECT_EQ(asker.done, 1);
  EXPECT_EQ(late.done, 1);
}

TEST_F(HashQueueTest, WhatNobodyWantsAnyMoreEndsAndMakesRoom) {
  std::vector<Asker> askers(HashQueue::kMostWaiting + 1);
  for (Asker& asker : askers) ASSERT_TRUE(add(&asker, 1000));
  for (size_t i = 0; i < askers.size(); ++i) ASSERT_TRUE(lane_.step());
  // One that waits goes at once, though the running one is far from its end.
  askers[3].wanted = false;
  queue_.sweep();
  while (askers[3].alive > 0) ASSERT_TRUE(lane_.step());
  EXPECT_EQ(askers[3].steps, 0);
  EXPECT_EQ(askers[0].done, 0);
  Asker late;
  EXPECT_TRUE(add(&late, 1));
  // The running one ends within a slice.
  askers[0].wanted = false;
  const int steps = askers[0].steps;
  while (askers[1].steps == 0) ASSERT_TRUE(lane_.step());
  EXPECT_LE(askers[0].steps, steps + 1);
  EXPECT_EQ(askers[0].alive, 0);
  for (Asker& asker : askers) asker.wanted = false;
  while (lane_.step()) {
  }
  EXPECT_EQ(late.done, 1);
}

}  // namespace
}  // namespace keelson::node
