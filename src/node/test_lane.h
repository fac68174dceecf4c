// node/test_lane.h
//
// A lane and its clock in the hands of a test.

#pragma once

#include <deque>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"

namespace keelson::node {

// A lane whose tasks run when the test says so.
class ManualLane final : public Executor, public Clock {
 public:
  void post(Task task) override { tasks.push_back(std::move(task)); }
  void post_after(Duration delay, Task task) override {
    delays.push_back(delay);
    tasks.push_back(std::move(task));
  }
  MonotonicTime now() const override { return time; }
  Duration unix_time() const override { return time.since_origin; }
  bool step() {
    if (tasks.empty()) return false;
    Task task = std::move(tasks.front());
    tasks.pop_front();
    task();
    return true;
  }

  std::deque<Task> tasks;
  std::vector<Duration> delays;
  MonotonicTime time;
};

}  // namespace keelson::node
