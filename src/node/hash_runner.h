// node/hash_runner.h
//
// HashRunner computes the hashes of compactions on the background lane: one at a time, the newest
// one (a hash that is not done when the next compaction comes is worth nothing to anybody), slice
// by slice, with a rest after each that is measured by what the slice took. So it has a quarter of
// a CPU and of the disk, or half while the compaction itself waits for it.
//
// Threads: run(), compacted() and drop() on any; the rest on the lane.
// Lifetime: what is left in the lane's queue goes before this does, and this before the store.
// Failure: a hash that cannot be had is not stored; damage is logged.

#pragma once

#include <memory>

#include "base/clock.h"
#include "base/executor.h"
#include "mvcc/store.h"

namespace keelson::node {

class HashRunner {
 public:
  HashRunner(Executor& lane, const Clock& clock) : lane_(lane), clock_(clock) {}

  void run(std::unique_ptr<mvcc::HashKvJob> job);
  // No compaction is under way any more: a job that waited for that goes on.
  void compacted();
  // The job there is, if any, is of a store that nobody has any more.
  void drop();

 private:
  void step();
  Duration rest(Duration took) const;

  Executor& lane_;
  const Clock& clock_;
  void schedule(Duration pause);

  // On the lane. While there is a job, either a step is scheduled or it waits for compacted(), in
  // which case no step is. A step that finds no job does nothing.
  std::unique_ptr<mvcc::HashKvJob> job_;
  bool scheduled_ = false;
  bool waiting_ = false;
};

}  // namespace keelson::node
