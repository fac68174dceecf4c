// node/log_watch.h
//
// LogWatch notices that the log's device does not get on: appends are on their way to it, and for
// an election timeout of ticks not one of them has become durable.
//
// Why ticks: a process that stood still has not heard from its device either, and ticks once when
//   it goes on, where a clock would have jumped.
// Threads: the consensus lane.

#pragma once

#include <cstdint>

#include "base/check.h"

namespace keelson::node {

class LogWatch {
 public:
  // REQUIRES: patience > 0.
  explicit LogWatch(int patience) : patience_(patience) { CHECK(patience > 0); }

  void handed() { ++under_way_; }
  void durable(uint64_t appends) {
    CHECK(appends <= under_way_);
    under_way_ -= appends;
    if (appends > 0) waited_ = 0;
    CHECK(under_way_ > 0 || waited_ == 0);
  }
  void tick() {
    if (under_way_ > 0) ++waited_;
  }

  bool stalled() const { return waited_ >= patience_; }
  // An election timeout, or another one, has passed at this tick.
  bool at_timeout() const { return stalled() && waited_ % patience_ == 0; }
  int64_t ticks() const { return waited_; }

 private:
  const int64_t patience_;
  uint64_t under_way_ = 0;  // appends that are not durable yet
  int64_t waited_ = 0;      // ticks since one became durable; 0 while none is under way
};

}  // namespace keelson::node
