// base/thread_lane.h
//
// ThreadLane is the production Executor: one named thread that drains a lock-free inbox.
//
// Threads: post() and post_after() from any thread. stop() once, not from the lane itself.
// Wake-ups are batched: while the thread is busy a post costs one exchange and no system call.
// Bounds: the inbox itself has none; whoever admits work (proposals, reads, log appends) counts
//   what is under way and refuses more. See docs/architecture.md, "Bounds".

#pragma once

#include <atomic>
#include <map>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/thread.h"

namespace keelson {

class ThreadLane final : public Executor {
 public:
  // Starts the thread. `name` shows in debuggers and profiles (15 characters at most).
  // `after_batch`, if given, runs on the lane each time the tasks that were waiting have all run:
  // the place to flush what those tasks gathered.
  explicit ThreadLane(std::string name, Task after_batch = nullptr);
  ~ThreadLane() override;

  void post(Task task) override;
  void post_after(Duration delay, Task task) override;

  // Runs what was posted before, drops timers that are not due, and joins the thread.
  void stop();

  bool on_lane() const { return thread_.on_it(); }

 private:
  struct Node {
    Task task;
    Duration delay{0};
    Node* next = nullptr;
  };

  void run();
  void push(Node* node);
  bool run_inbox();
  bool run_due_timers();
  void sleep();

  const std::string name_;
  Task after_batch_;
  SystemClock clock_;
  std::atomic<Node*> inbox_{nullptr};
  std::atomic<uint32_t> sleeping_{0};  // 1 while the thread waits, or is about to
  std::atomic<bool> stopping_{false};
  std::multimap<MonotonicTime, Task> timers_;  // the lane's own
  Thread thread_;
};

}  // namespace keelson
