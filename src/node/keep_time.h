// node/keep_time.h
//
// A beat on a lane: the ticks of consensus.
//
// Threads: the lane. Lifetime: lane and clock outlive the last beat.

#pragma once

#include <algorithm>
#include <functional>
#include <utility>

#include "base/clock.h"
#include "base/executor.h"

namespace keelson::node {

// Calls `beat` every `period`, beginning now, until it says false. A lane's timers are late by up
// to a millisecond, which a hundred ticks would add up; what is missed is not made up for.
inline void keep_time(Executor& lane, const Clock& clock, Duration period, MonotonicTime due,
                      std::function<bool()> beat) {
  if (!beat()) return;
  const MonotonicTime now = clock.now();
  const MonotonicTime next = std::max(due + period, now);
  lane.post_after(next - now, [&lane, &clock, period, next, beat = std::move(beat)]() mutable {
    keep_time(lane, clock, period, next, std::move(beat));
  });
}

}  // namespace keelson::node
