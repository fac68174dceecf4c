// net/loop.h
//
// Loop is an io lane: one named thread around one event loop. Connections are pinned to a loop and
// everything that belongs to them runs there, so nothing in a connection locks.
//
// Threads: post(), post_after() and post_work() from any thread; everything else on the loop.
// Wake-ups: a post to a busy loop costs one compare-and-swap and no system call; a sleeping loop is
//   woken once, however many posts follow.
// Batches: a batch is what was ready when the loop looked (socket events, posts, timers). At its
//   end the after-batch hooks run, then every connection with output writes once.
// Fairness: a batch is one turn and has a bound, in socket events and in time (net/loop_impl.h);
//   whatever a turn leaves behind, or causes, belongs to the next. So no connection, however busy,
//   keeps posts, timers, hooks, other connections' answers or new connections waiting.
// Lifetime: a loop outlives whatever runs on it and every CallRef of its connections. stop() ends
//   the thread; posts after that are kept and dropped by the destructor.
// Bounds: the inbox has none; who admits work counts what is under way and refuses more.

#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/executor.h"

namespace keelson::net {

// Something to run on a loop, with its queue link inside: posting it allocates nothing.
// It must stay alive until run() is called, and may be posted again from then on. Once the loop has
// stopped, drop() is called instead of run().
class LoopWork {
 public:
  virtual void run() = 0;
  virtual void drop() = 0;

 protected:
  ~LoopWork() = default;

 private:
  friend class Loop;
  LoopWork* next_ = nullptr;
};

class Loop final : public Executor {
 public:
  // Starts the thread. `name` shows in debuggers and profiles (15 characters at most).
  // `number` is the loop's place in its pool; counters can be kept per loop by it.
  explicit Loop(std::string name, int number = 0);
  // A loop without a thread, on a clock of the caller's, for tests and simulation: the thread that
  // made it is the loop's, and run_ready() is one batch. Sockets are not looked at.
  explicit Loop(const Clock* clock);
  // REQUIRES: made without a thread. Runs what is ready; returns how many things that was.
  size_t run_ready();
  ~Loop() override;
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  void post(Task task) override;
  void post_after(Duration delay, Task task) override;
  void post_work(LoopWork* work);

  // `hook` runs at the end of every batch from now on: the place to hand over what the batch
  // gathered (proposals, read-index requests). It may answer calls; it runs before output is
  // written. Any thread; hooks are never removed, so what they use lives as long as the loop.
  void after_batch(Task hook);

  bool on_loop() const;
  int number() const;
  // The time at which the current batch began. On the loop only.
  MonotonicTime now() const;

  // Runs what was posted before, drops timers, closes nothing, and joins the thread.
  // Not from the loop itself. A second call does nothing.
  void stop();

  // The inside, for this directory (net/loop_impl.h).
  class Impl;
  Impl& impl() { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

// The loops that connections are spread over.
class LoopPool {
 public:
  // REQUIRES: size > 0.
  explicit LoopPool(int size, const std::string& name = "io");
  ~LoopPool();

  int size() const { return static_cast<int>(loops_.size()); }
  Loop& at(int number) { return *loops_[static_cast<size_t>(number)]; }
  void stop();

 private:
  std::vector<std::unique_ptr<Loop>> loops_;
};

}  // namespace keelson::net
