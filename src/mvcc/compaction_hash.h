// mvcc/compaction_hash.h
//
// CompactionHold is what a compaction and the job that computes its hash know of each other: the
// compaction waits while the job reads what it is going to remove, unless it loses patience.
//
// Threads: release() and overrun() the job's, held() and overrun_now() the writer's.

#pragma once

#include <atomic>

#include "mvcc/store_impl.h"

namespace keelson::mvcc {

class CompactionHold {
 public:
  // The job needs the compaction to wait no longer. False: it has not waited.
  bool release() {
    State held = State::kHeld;
    state_.compare_exchange_strong(held, State::kReleased, std::memory_order_seq_cst);
    return held != State::kOverrun;
  }
  bool overrun() const { return state_.load(std::memory_order_seq_cst) == State::kOverrun; }

  bool held() const { return state_.load(std::memory_order_seq_cst) == State::kHeld; }
  // The compaction goes on; a job that was still reading finds out. Before anything is removed.
  void overrun_now() {
    State held = State::kHeld;
    state_.compare_exchange_strong(held, State::kOverrun, std::memory_order_seq_cst);
  }

 private:
  enum class State { kHeld, kReleased, kOverrun };
  std::atomic<State> state_{State::kHeld};
};

}  // namespace keelson::mvcc
