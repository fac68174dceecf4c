// node/heartbeat_watch.h
//
// HeartbeatWatch notices a leader that does not get to its heartbeats: one to a member leaves more
// than two intervals behind the one before it. The usual reason is a machine with too much to do; a
// disk is none, as ticks wait for none.
//
// Threads: the consensus lane.
// Memory: one time for each member that was sent to since the last reset().
// Source: etcd v3.7.1, server/etcdserver/raft.go, pkg/contention.

#pragma once

#include <map>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "base/ids.h"

namespace keelson::node {

class HeartbeatWatch {
 public:
  // REQUIRES: interval > 0.
  explicit HeartbeatWatch(Duration interval) : most_(2 * interval) {
    CHECK(interval > Duration(0));
  }

  // Somebody else leads, or nobody: what was sent before says nothing of what comes.
  void reset() { sent_.clear(); }

  // A heartbeat leaves for `to`. By how much it is late; <= 0: it is not. The first to a member
  // never is. REQUIRES: time does not go back.
  Duration sent(MemberId to, MonotonicTime now) {
    const auto [last, is_first] = sent_.try_emplace(to, now);
    if (is_first) return Duration(0);
    CHECK(last->second <= now);
    return now - std::exchange(last->second, now) - most_;
  }

  // The same: whether it is; then the log says so.
  bool is_late(MemberId to, MonotonicTime now);

 private:
  const Duration most_;  // between two: two intervals
  std::map<MemberId, MonotonicTime> sent_;
};

}  // namespace keelson::node
