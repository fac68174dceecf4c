// net/timer_wheel.h
//
// TimerWheel holds a loop's timers: arming and cancelling are O(1) and allocate nothing, because
// nearly every timer (a request's deadline) is cancelled before it is due.
//
// Threads: one. Lifetime: a timer cancels itself when destroyed; the wheel outlives its timers.
// Resolution: one millisecond, never early. Timers beyond one turn of the wheel stay in their slot
//   for as many turns as it takes.

#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/clock.h"

namespace keelson::net {

class TimerWheel;

class Timer {
 public:
  Timer() = default;
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  bool armed() const { return wheel_ != nullptr; }
  void cancel();
  // Called once per arming, disarmed by then: it may arm itself again or destroy itself.
  virtual void on_timer() = 0;
  // Called by TimerWheel::drop_all(), disarmed by then: who belongs to nobody else destroys itself.
  virtual void on_drop() {}

 protected:
  ~Timer() { cancel(); }

 private:
  friend class TimerWheel;
  TimerWheel* wheel_ = nullptr;
  Timer** link_ = nullptr;  // what points to this timer in its list
  Timer* next_ = nullptr;
  uint64_t due_tick_ = 0;
};

class TimerWheel {
 public:
  explicit TimerWheel(MonotonicTime now);
  // Disarms what is still armed, without a call.
  ~TimerWheel();

  // Arms (or re-arms) `timer` for `due`; a time that has passed fires at the next advance().
  void arm(Timer* timer, MonotonicTime due);
  // Disarms all there are, and those that they arm while they are told; returns how many.
  size_t drop_all();
  // Fires everything due at `now`; returns how many.
  size_t advance(MonotonicTime now);
  // When advance() may next have something to do; never later than the earliest timer.
  std::optional<MonotonicTime> next_due() const;

  size_t armed() const { return armed_; }

 private:
  friend class Timer;
  static constexpr size_t kSlots = 4096;
  static constexpr int64_t kTick = 1'000'000;  // nanoseconds

  static void push(Timer** list, Timer* timer);
  static void unlink(Timer* timer);
  void insert(Timer* timer);
  size_t fire_slot(size_t slot, uint64_t now_tick);

  std::array<Timer*, kSlots> slots_{};
  std::array<uint64_t, kSlots / 64> used_{};  // a bit per slot that may hold timers
  uint64_t next_tick_;                        // every tick before it has been fired
  size_t armed_ = 0;
};

}  // namespace keelson::net
