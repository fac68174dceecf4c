// net/loop_impl.h
//
// The inside of a Loop, for this directory only: the Asio context, the timers, and the list of
// those who have output to write at the end of the batch.

#pragma once

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <string>
#include <thread>
#include <vector>

#include "net/loop.h"
#include "net/timer_wheel.h"

namespace keelson::net {

// Something that gathers output during a batch and writes it at the end.
class Flushable {
 public:
  virtual void flush() = 0;

 protected:
  ~Flushable() = default;

 private:
  friend class Loop::Impl;
  Flushable* next_ = nullptr;
  bool queued_ = false;
};

class Loop::Impl {
 public:
  Impl(const Clock* clock, std::string name, int number);
  ~Impl();

  void run();
  size_t run_ready();
  void push(LoopWork* work);

  // Calls `who->flush()` once at the end of this batch. `who` must live until then.
  void flush_later(Flushable* who);

  MonotonicTime now();

  boost::asio::io_context& context() { return context_; }
  TimerWheel& timers() { return timers_; }
  bool on_loop() const { return std::this_thread::get_id() == thread_id_; }

 private:
  friend class Loop;

  size_t run_inbox();
  void run_flushes();
  size_t sleep();
  void wake();
  void drop_inbox();

  SystemClock system_clock_;
  const Clock* const clock_;
  const std::string name_;
  const int number_;

  std::atomic<LoopWork*> inbox_{nullptr};
  std::atomic<uint32_t> sleeping_{0};  // 1 while the thread waits, or is about to
  bool stopping_ = false;
  bool now_known_ = false;
  MonotonicTime now_{};

  std::vector<Task> hooks_;
  Flushable* flush_first_ = nullptr;
  Flushable* flush_last_ = nullptr;

  // The context is destroyed before the timers: what its pending handlers own may hold timers.
  TimerWheel timers_;
  boost::asio::io_context context_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard_;

  std::thread::id thread_id_;
  std::thread thread_;
};

}  // namespace keelson::net
