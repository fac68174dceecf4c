// server/pulse.h
//
// Pulse finds out, again and again, whether the lanes that never wait for a disk still turn: a task
// goes round all of them, and when it has come back `beat` is called. A lane that hangs is a pulse
// that stays away, and whoever counts them (a watchdog) acts.
//
// Threads: start() on any; `beat` runs on the first lane.
// Lifetime: the lanes' threads have stopped before it is destroyed.

#pragma once

#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "base/check.h"
#include "base/executor.h"

namespace keelson::server {

class Pulse {
 public:
  // REQUIRES: there is a lane.
  Pulse(std::vector<Executor*> lanes, Duration interval, absl::AnyInvocable<void()> beat)
      : lanes_(std::move(lanes)), interval_(interval), beat_(std::move(beat)) {
    CHECK(!lanes_.empty());
  }

  // The first round is now.
  void start() { visit(1); }

 private:
  // On the lane before `next`; behind the last one comes the first again.
  void visit(size_t next) {
    if (next < lanes_.size()) return lanes_[next]->post([this, next] { visit(next + 1); });
    lanes_[0]->post([this] {
      beat_();
      lanes_[0]->post_after(interval_, [this] { start(); });
    });
  }

  const std::vector<Executor*> lanes_;
  const Duration interval_;
  absl::AnyInvocable<void()> beat_;
};

}  // namespace keelson::server
