// trace/test_spans.h
//
// A clock and a lane in the hands of a test, and a sink that keeps what has ended. Tests only.

#pragma once

#include <deque>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "trace/tracer.h"

namespace keelson::trace {

class TestClock final : public Clock {
 public:
  MonotonicTime now() const override { return time; }
  Duration unix_time() const override { return unix; }
  void pass(Duration much) {
    time = time + much;
    unix += much;
  }

  MonotonicTime time{};
  Duration unix{0};
};

// Runs what is due when the test lets time pass.
class TestLane final : public Executor {
 public:
  explicit TestLane(TestClock& clock) : clock_(clock) {}
  void post(Task task) override { now_.push_back(std::move(task)); }
  void post_after(Duration delay, Task task) override {
    later_.emplace(clock_.now() + delay, std::move(task));
  }

  void run() { pass(Duration(0)); }
  // So many of those that wait, no more.
  void run(int tasks) {
    for (; tasks > 0 && !now_.empty(); --tasks) {
      Task task = std::move(now_.front());
      now_.pop_front();
      task();
    }
  }
  void pass(Duration much) {
    const MonotonicTime end = clock_.now() + much;
    while (true) {
      if (!now_.empty()) {
        Task task = std::move(now_.front());
        now_.pop_front();
        task();
      } else if (!later_.empty() && later_.begin()->first <= end) {
        if (later_.begin()->first > clock_.now()) clock_.pass(later_.begin()->first - clock_.now());
        now_.push_back(std::move(later_.begin()->second));
        later_.erase(later_.begin());
      } else {
        break;
      }
    }
    if (end > clock_.now()) clock_.pass(end - clock_.now());
  }
  void clear() {
    now_.clear();
    later_.clear();
  }
  size_t timers() const { return later_.size(); }

 private:
  TestClock& clock_;
  std::deque<Task> now_;
  std::multimap<MonotonicTime, Task> later_;
};

class KeptSpans final : public SpanSink {
 public:
  void take(std::unique_ptr<Span> span) override { spans.push_back(std::move(span)); }
  std::vector<std::unique_ptr<Span>> spans;
};

}  // namespace keelson::trace
