// mvcc/compaction_pace.h
//
// CompactionPace says how much a compaction removes at a time, and how long it rests then.
//
// The flags name the gentle pace: so many revisions per sleep (by default 100,000 a second), which
// is less than can be put. A compaction that has more to remove than the gentle pace removes within
// kCatchUp goes as fast as that takes, by resting less, never by larger steps; and it never rests
// less than its steps take, so that at least half of the lane is left to the writes. What there is
// to remove therefore stays below what is written in kCatchUp or between two compactions, whichever
// is more, as long as writes supersede no more than half a lane can remove.
//
// Threads: a value.

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/clock.h"

namespace keelson::mvcc {

class CompactionPace {
 public:
  static constexpr Duration kCatchUp = std::chrono::seconds(5);
  // Revisions: about a millisecond. A larger batch limit is split, and its sleep with it.
  static constexpr size_t kMostStep = 1000;

  CompactionPace(size_t batch_limit, Duration sleep)
      : step_(std::clamp<size_t>(batch_limit, 1, kMostStep)),
        gentle_(scaled(sleep, static_cast<double>(step_) /
                                  static_cast<double>(std::max<size_t>(batch_limit, 1)))) {}

  // Revisions to remove at a time.
  size_t step() const { return step_; }
  // After a step that took `took` and left `debt` to be removed. `awaited`: somebody who is in a
  // hurry waits for its end (a defragmentation), so it goes as fast as it may.
  Duration pause(uint64_t debt, Duration took, bool awaited = false) const {
    if (awaited) return std::min(gentle_, took);
    if (debt == 0) return gentle_;
    Duration wanted = scaled(kCatchUp, static_cast<double>(step_) / static_cast<double>(debt));
    return std::min(gentle_, std::max(wanted, took));
  }
  // Before asking again whether a compaction that is held up may go on.
  Duration held_pause() const { return std::max<Duration>(gentle_, std::chrono::milliseconds(1)); }

 private:
  static Duration scaled(Duration duration, double by) {
    return Duration(static_cast<Duration::rep>(static_cast<double>(duration.count()) * by));
  }

  size_t step_;
  Duration gentle_;
};

}  // namespace keelson::mvcc
