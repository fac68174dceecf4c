// proxy/test_lane.h
//
// For tests: a lane on a clock of its own, which does nothing before it is told to.

#pragma once

#include <deque>
#include <map>
#include <utility>

#include "base/clock.h"
#include "base/executor.h"

namespace keelson::proxy {

class TestLane final : public Executor, public Clock {
 public:
  void post(Task task) override { posted_.push_back(std::move(task)); }
  void post_after(Duration delay, Task task) override {
    later_.emplace(now_ + delay, std::move(task));
  }
  MonotonicTime now() const override { return now_; }
  Duration unix_time() const override { return now_.since_origin + slept; }

  Duration slept{0};  // the wall clock alone has seen it

  // False: there is nothing to do.
  bool step() {
    if (posted_.empty()) return false;
    Task task = std::move(posted_.front());
    posted_.pop_front();
    task();
    return true;
  }
  void run() {
    while (step()) continue;
  }
  // Time passes, and what was due is run.
  void pass(Duration time) {
    const MonotonicTime until = now_ + time;
    run();
    while (!later_.empty() && later_.begin()->first <= until) {
      now_ = later_.begin()->first;
      Task task = std::move(later_.begin()->second);
      later_.erase(later_.begin());
      task();
      run();
    }
    now_ = until;
  }

 private:
  MonotonicTime now_;
  std::deque<Task> posted_;
  std::multimap<MonotonicTime, Task> later_;
};

}  // namespace keelson::proxy
