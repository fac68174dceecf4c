// net/loop_impl.h
//
// The inside of a Loop, for this directory only: the poller, the timers, and the list of
// those who have output to write at the end of the batch.

#pragma once

#include <atomic>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/thread.h"
#include "net/loop.h"
#include "net/poller.h"
#include "net/timer_wheel.h"

namespace keelson::net {

// What one turn may do before the others have theirs: how many socket events it takes, and how long
// these, then what was posted, and then the writing, may go on. What is left over is first in the
// next turn. (docs/decisions/0008-the-budget-of-a-turn.md)
inline constexpr size_t kHandlersPerTurn = 128;
inline constexpr Duration kTimePerTurn = std::chrono::milliseconds(2);

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

  // Calls `who->flush()` once at the end of this batch, or of the next when this one flushes
  // already or has used up its time. `who` must live until then.
  void flush_later(Flushable* who);

  MonotonicTime now();

  // The part of the turn that runs now has used up its time: who has more to do does it in the
  // next.
  bool out_of_time();

  // What was read last, whoever read it: good until the next read of any connection, so for as long
  // as on_read() runs. A buffer of each connection's own would be cold whenever there are many, and
  // as large as its largest read for ever. For what TLS decrypts there is another.
  static constexpr size_t kReadBuffer = 64 << 10;
  std::span<char> read_buffer() { return read_buffer_; }
  std::span<char> cipher_buffer() {
    if (cipher_buffer_.empty()) cipher_buffer_.resize(kReadBuffer);
    return cipher_buffer_;
  }

  const Clock& clock() const { return *clock_; }

  Poller& poller() { return poller_; }
  TimerWheel& timers() { return timers_; }
  bool on_loop() const { return std::this_thread::get_id() == thread_id_; }

 private:
  friend class Loop;

  size_t turn();
  size_t run_handlers();
  size_t run_inbox();
  void take_inbox();
  void run_flushes();
  void end_batch();
  void look();
  void drop_inbox();

  SystemClock system_clock_;
  const Clock* const clock_;
  const std::string name_;
  const int number_;

  std::atomic<LoopWork*> inbox_{nullptr};
  LoopWork* taken_ = nullptr;          // out of the inbox, in order, and not run yet
  std::atomic<uint32_t> sleeping_{0};  // 1 while the thread waits, or is about to
  bool stopping_ = false;
  bool now_known_ = false;
  MonotonicTime now_{};
  MonotonicTime turn_ends_{};

  std::vector<Task> hooks_;
  Flushable* flush_first_ = nullptr;
  Flushable* flush_last_ = nullptr;  // nullptr exactly when flush_first_ is

  std::vector<char> read_buffer_ = std::vector<char>(kReadBuffer);
  std::vector<char> cipher_buffer_;  // once it is needed

  TimerWheel timers_;
  Poller poller_;

  std::thread::id thread_id_;
  Thread thread_;
};

}  // namespace keelson::net
