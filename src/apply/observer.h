// apply/observer.h
//
// Observer is told what the state machine did and how long it took, for metrics. Nothing it does
// may change what is applied.
//
// Threads: called on the apply lane only. Must be cheap.

#pragma once

#include <cstdint>
#include <span>

#include "base/clock.h"
#include "wire/internal_request.h"

namespace keelson::apply {

// So many entries of one kind in a batch that took about as long each: between two bounds of etcd's
// histogram, which are 0.1 ms and its doubles. Like etcd, a compaction refused because it was made
// already counts as a success.
struct Applied {
  wire::InternalKind kind;
  bool ok;
  uint8_t magnitude;  // 0: at most 0.1 ms, 1: at most 0.2 ms, …
  uint32_t count;     // > 0
  Duration took;      // all of them together
};

class Observer {
 public:
  virtual ~Observer() = default;
  // A batch, ready to be committed.
  virtual void applied(std::span<const Applied> entries) = 0;
  // An entry took longer than Applier::Options::warning_duration.
  virtual void slow_apply() = 0;
  virtual void lease_granted(int64_t ttl_seconds) = 0;
  virtual void compaction_step(Duration took) = 0;
  // From the first step to the last, pauses included.
  virtual void compaction_finished(Duration took) = 0;
};

}  // namespace keelson::apply
