// sim/watchers.h
//
// Clients that watch: each a range of keys, through one member after the other, from where the last
// one left off. They read when they feel like it, and check what comes: every change of their range
// from their start on, in order, once, a revision's changes together, with the values that were
// replaced; nothing is skipped by what says that all is sent (a progress response, the next watch
// through another member); a cancellation names a compaction that really passed them.
//
// Threads: one.

#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mvcc/watch/lane_watches.h"
#include "proto/rpc.pb.h"
#include "sim/world.h"

namespace keelson::sim {

class Watchers {
 public:
  Watchers(World& world, int count);
  ~Watchers();

  // One of them does something.
  void act();
  // All that watch have been told all there is. Those that do not are made to, through `member`.
  bool up_to_date(int member);
  uint64_t events() const { return events_; }

 private:
  class Watch;

  World& world_;
  std::vector<std::unique_ptr<Watch>> watches_;
  uint64_t events_ = 0;
};

}  // namespace keelson::sim
