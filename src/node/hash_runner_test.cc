// One hash at a time, the newest; rests as long as its slices deserve.

#include "node/hash_runner.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "node/test_lane.h"

namespace keelson::node {
namespace {

using Urgency = mvcc::HashKvJob::Urgency;
using std::chrono::milliseconds;

struct Counts {
  int alive = 0, steps = 0, done = 0;
};

// Needs `slices` of two milliseconds each.
class Job final : public mvcc::HashKvJob {
 public:
  Job(ManualLane* lane, Counts* counts, int slices, Urgency urgency = Urgency::kNone)
      : lane_(*lane), counts_(*counts), slices_(slices), urgency_(urgency) {
    ++counts_.alive;
  }
  ~Job() override { --counts_.alive; }
  absl::StatusOr<bool> step(size_t) override {
    lane_.time = lane_.time + milliseconds(2);
    ++counts_.steps;
    if (slices_ < 0) return absl::AbortedError("overtaken");
    if (--slices_ > 0) return false;
    ++counts_.done;
    return true;
  }
  Urgency urgency() const override { return urgency_; }
  mvcc::KvHash result() const override { return {}; }

 private:
  ManualLane& lane_;
  Counts& counts_;
  int slices_;
  Urgency urgency_;
};

class HashRunnerTest : public ::testing::Test {
 protected:
  void run(Counts* counts, int slices, Urgency urgency = Urgency::kNone) {
    runner_.run(std::make_unique<Job>(&lane_, counts, slices, urgency));
  }
  ManualLane lane_;
  HashRunner runner_{lane_, lane_};
};

TEST_F(HashRunnerTest, TheNewestWinsAndTheOthersGo) {
  Counts first, second;
  run(&first, 100);
  for (int i = 0; i < 5; ++i) lane_.step();
  EXPECT_EQ(first.steps, 5);
  run(&second, 3);
  while (lane_.step()) EXPECT_LE(lane_.tasks.size(), 2u);
  EXPECT_EQ(first.alive, 0);
  EXPECT_EQ(first.done, 0);
  EXPECT_LE(first.steps, 6);
  EXPECT_EQ(second.done, 1);
  EXPECT_EQ(second.alive, 0);
}

TEST_F(HashRunnerTest, JobsThatComeTogetherDoNotPileUp) {
  Counts counts;
  for (int i = 0; i < 50; ++i) run(&counts, 4);
  while (lane_.step()) EXPECT_LE(lane_.tasks.size(), 51u);
  EXPECT_EQ(counts.done, 1);
  EXPECT_EQ(counts.alive, 0);
  EXPECT_LT(counts.steps, 10);
}

TEST_F(HashRunnerTest, RestsByWhatASliceTook) {
  Counts counts;
  run(&counts, 3);
  while (lane_.step()) continue;
  EXPECT_EQ(lane_.delays, (std::vector<Duration>{milliseconds(6), milliseconds(6)}));
  lane_.delays.clear();
  run(&counts, 2, Urgency::kHoldsRemoval);
  while (lane_.step()) continue;
  EXPECT_EQ(lane_.delays, (std::vector<Duration>{milliseconds(2)}));
}

TEST_F(HashRunnerTest, AJobThatWaitsIsSteppedWhenTheCompactionIsDone) {
  Counts counts;
  runner_.compacted();
  run(&counts, 2, Urgency::kNotYet);
  while (lane_.step()) continue;
  EXPECT_EQ(counts.steps, 1);
  runner_.compacted();
  runner_.compacted();
  while (lane_.step()) continue;
  EXPECT_EQ(counts.steps, 2);
  EXPECT_EQ(counts.done, 1);
  // One that still waits does not keep the next one from running.
  run(&counts, 5, Urgency::kNotYet);
  while (lane_.step()) continue;
  run(&counts, 1);
  while (lane_.step()) continue;
  EXPECT_EQ(counts.done, 2);
  EXPECT_EQ(counts.alive, 0);
}

TEST_F(HashRunnerTest, WhatIsDroppedGoesAtOnceAndTheNextOneRuns) {
  Counts waits, runs, next;
  run(&waits, 5, Urgency::kNotYet);
  while (lane_.step()) continue;
  runner_.drop();
  lane_.step();
  EXPECT_EQ(waits.alive, 0);
  runner_.compacted();
  while (lane_.step()) continue;
  // One whose next step is on its way.
  run(&runs, 100);
  for (int i = 0; i < 3; ++i) lane_.step();
  runner_.drop();
  run(&next, 3);
  while (lane_.step()) EXPECT_LE(lane_.tasks.size(), 3u);
  EXPECT_EQ(runs.alive, 0);
  EXPECT_LE(runs.steps, 4);
  EXPECT_EQ(next.done, 1);
}

TEST_F(HashRunnerTest, AnOvertakenJobGoesAndTheNextOneRuns) {
  Counts counts;
  run(&counts, -1);
  while (lane_.step()) continue;
  EXPECT_EQ(counts.alive, 0);
  run(&counts, 1);
  while (lane_.step()) continue;
  EXPECT_EQ(counts.done, 1);
}

}  // namespace
}  // namespace keelson::node
