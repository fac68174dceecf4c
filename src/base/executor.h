// base/executor.h
//
// A lane: a serial executor. Tasks posted to one lane run one at a time, in the order posted.
// In production a lane is a thread; in simulation one scheduler runs all lanes in a seeded order.

#pragma once

#include "absl/functional/any_invocable.h"
#include "base/clock.h"

namespace keelson {

using Task = absl::AnyInvocable<void()>;

class Executor {
 public:
  virtual ~Executor() = default;
  // Runs `task` later on this lane. Any thread; never runs it inline, never blocks.
  virtual void post(Task task) = 0;
  // Runs `task` on this lane once `delay` has passed. Not cancellable: a task that may be out of
  // date checks for that itself.
  virtual void post_after(Duration delay, Task task) = 0;
};

}  // namespace keelson
