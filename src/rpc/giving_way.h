// rpc/giving_way.h
//
// GivingWay says how long work that goes on slice by slice rests between two of them: as long as
// the slice took while the member does something for others, and not at all while it does not. One
// who was there a moment ago is expected back.
//
// Who is served is told by what has changed: the index that was applied, and when a read ended. To
// look at the processors instead would tell of other programs, to which the kernel gives way by
// itself (the threads that do such work are nicer than the lanes).
//
// Threads: a value.

#pragma once

#include <algorithm>

#include "base/clock.h"
#include "base/ids.h"

namespace keelson::rpc {

class GivingWay {
 public:
  static constexpr Duration kMoment = std::chrono::milliseconds(10);

  // `begun`: the time when the work begins, with what the member had applied by then.
  GivingWay(Index applied, MonotonicTime begun) : applied_(applied), idle_since_(begun) {}

  // After a slice that took so long. `read`: when the last read ended.
  Duration rest(Duration took, Index applied, MonotonicTime read, MonotonicTime now) {
    if (applied != applied_) note(now);
    applied_ = applied;
    if (read > idle_since_) note(read);
    return served_ && now - idle_since_ < kMoment ? took : Duration(0);
  }

 private:
  void note(MonotonicTime served) {
    served_ = true;
    idle_since_ = std::max(idle_since_, served);
  }

  Index applied_;
  bool served_ = false;       // somebody was, since the work began
  MonotonicTime idle_since_;  // … last at this time; only grows
};

}  // namespace keelson::rpc
