// rpc/taking_pace.h
//
// TakingPace tells a client that takes what it asked for from one that only shows signs of life,
// and so keeps what is held for it. Only the time counts in which it was the client's turn: with
// something to take, and the member waiting for it. By that time it must have taken so many bytes a
// second in each window; who waits for a slow member loses nothing.
//
// Threads: a value.

#pragma once

#include <cstddef>
#include <cstdint>

#include "base/clock.h"

namespace keelson::rpc {

class TakingPace {
 public:
  static constexpr Duration kWindow = std::chrono::minutes(2);
  // A megabit a second: less than slow disks and networks do over minutes.
  static constexpr int64_t kBytesPerSecond = 128 << 10;

  void clients_turn(MonotonicTime now) {
    if (clients_) return;
    clients_ = true;
    since_ = now;
  }
  void our_turn(MonotonicTime now) {
    if (clients_) waited_ += now - since_;
    clients_ = false;
  }

  // `taken`: in all so far. To be asked some times in each window.
  bool too_slow(uint64_t taken, MonotonicTime now) {
    const Duration waited = waited_ + (clients_ ? now - since_ : Duration(0));
    if (waited < kWindow) return false;
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(waited).count();
    const bool slow = taken - before_ < static_cast<uint64_t>(ms * kBytesPerSecond / 1000);
    before_ = taken;
    waited_ = Duration(0);
    since_ = now;
    return slow;
  }

 private:
  bool clients_ = false;
  MonotonicTime since_{};  // … when clients_
  Duration waited_{0};     // in this window, before that
  uint64_t before_ = 0;    // taken before this window
};

}  // namespace keelson::rpc
