// mvcc/read_bounds.h
//
// How far a read may go on the thread it is on. An io lane lets a read visit a few thousand keys
// and wait for no disk; what needs more is done again, from the beginning, where it holds up nobody
// (there the bounds only say when to give up). Reads change nothing, so the first try costs its
// time and no more, and what can be known ahead is refused ahead.
//
// Threads: the reader's; `unwanted` may be set by any.

#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"

namespace keelson::mvcc {

struct ReadBounds {
  // Visits that are left to all ranges of the view. A key that is to be sorted is kSorted of them.
  uint64_t keys = UINT64_MAX;
  // May the backend be read from the disk? Else a hundred values at most are, if it has them in
  // memory.
  bool backend = true;
  // Looked at after every few thousand keys: set once nobody waits for the answer.
  const std::atomic<bool>* unwanted = nullptr;

  // A range that may be answered so (RangeOptions::may_hold) and lacks more bytes than this is held
  // instead of read (RangeResult::held). `elsewhere`, which is copied then, runs what reads it.
  uint64_t hold_above = UINT64_MAX;
  const std::function<void(absl::AnyInvocable<void()>)>* elsewhere = nullptr;

  // Where a read was stopped because of `backend`: how many KeyValues it lacked.
  uint64_t lacking = 0;

  static constexpr uint64_t kSorted = 8;

  bool spend(uint64_t visits) {
    if (visits > keys) return false;
    keys -= visits;
    return true;
  }
};

// The bounds do not let a read go on here: kAborted, which no other error of a read is.
absl::Status not_here();
inline bool is_not_here(const absl::Status& status) { return absl::IsAborted(status); }

}  // namespace keelson::mvcc
