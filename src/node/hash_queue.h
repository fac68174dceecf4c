// node/hash_queue.h
//
// HashQueue computes the hashes that clients ask for on the background lane: one at a time, in the
// order they were asked for, slice by slice, with a rest after each slice as long as it took. So it
// has half of a CPU and of the disk (clients give up after some seconds), and the lane's other work
// waits for a slice at most.
//
// Threads: add(), sweep() and Work::wanted() on any; the rest, Works included, on the lane.
// Bounds: one that runs and kMostWaiting that wait; more are refused.
// Lifetime: what is left in the lane's queue goes before this does. The work under way belongs to
//   the lane's task, so it goes with that.

#pragma once

#include <atomic>
#include <cstddef>
#include <deque>
#include <memory>

#include "base/clock.h"
#include "base/executor.h"

namespace keelson::node {

class HashQueue {
 public:
  static constexpr size_t kMostWaiting = 8;

  class Work {
   public:
    virtual ~Work() = default;
    // False: nobody waits for it any more.
    virtual bool wanted() const = 0;
    // Does about a slice of it; true when it is over, well or not, and whoever asked was told.
    virtual bool step() = 0;
  };

  HashQueue(Executor& lane, const Clock& clock) : lane_(lane), clock_(clock) {}

  // False, and `work` is dropped: enough are there.
  [[nodiscard]] bool add(std::unique_ptr<Work> work);
  // Somebody who asked has gone: what is not wanted any more leaves the queue. Once for each work
  // at most.
  void sweep();

 private:
  void begin_next();
  void step(std::unique_ptr<Work> work);
  void leave(std::unique_ptr<Work> work);

  Executor& lane_;
  const Clock& clock_;
  // Works on their way to the lane, waiting, and running. <= kMostWaiting + 1.
  std::atomic<size_t> admitted_{0};
  // On the lane. waiting_.size() <= admitted_; nobody waits unless one runs, or rests when it is
  // over.
  std::deque<std::unique_ptr<Work>> waiting_;
  bool running_ = false;
};

}  // namespace keelson::node
