// base/clock.h
//
// Time comes in through this interface, so that tests and simulation own it.

#pragma once

#include <chrono>

namespace keelson {

using Duration = std::chrono::nanoseconds;
// Monotonic time since some fixed moment; only differences mean anything.
struct MonotonicTime {
  Duration since_origin{0};
  friend constexpr auto operator<=>(MonotonicTime, MonotonicTime) = default;
  friend constexpr MonotonicTime operator+(MonotonicTime t, Duration d) {
    return {t.since_origin + d};
  }
  friend constexpr Duration operator-(MonotonicTime a, MonotonicTime b) {
    return a.since_origin - b.since_origin;
  }
};

class Clock {
 public:
  virtual ~Clock() = default;
  // Any thread.
  virtual MonotonicTime now() const = 0;
  // Wall time since the Unix epoch; may jump.
  virtual Duration unix_time() const = 0;
};

class SystemClock final : public Clock {
 public:
  MonotonicTime now() const override {
    return {std::chrono::steady_clock::now().time_since_epoch()};
  }
  Duration unix_time() const override {
    return std::chrono::system_clock::now().time_since_epoch();
  }
};

}  // namespace keelson
