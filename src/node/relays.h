// node/relays.h
//
// Relays holds what other members want proposed while it cannot be: nobody leads, this member is
// handing the leadership over, or a membership change is under way and raft would make the next one
// an empty entry. It goes on, to whoever leads then, as soon as it can. etcd drops it, and the
// client of the other member waits until its time is up.
//
// Threads: the consensus lane. Bounds: kMostMessages and kMostBytes, and kMostTime for each; what
//   is beyond is dropped, as raft allows.

#pragma once

#include <cstdint>
#include <deque>

#include "base/clock.h"
#include "raft/raw_node.h"

namespace keelson::node {

class Relays {
 public:
  static constexpr size_t kMostMessages = 4096;
  static constexpr uint64_t kMostBytes = 32 << 20;
  // Who asked has given up by then.
  static constexpr Duration kMostTime = std::chrono::seconds(5);

  // True: `message` is held, or dropped; false: step it. What came before it goes before it.
  bool hold(const raft::RawNode& core, MonotonicTime now, const raft::Message& message);
  // What can be proposed now, in order.
  void release(raft::RawNode& core, MonotonicTime now);

 private:
  struct Held {
    raft::Message message;
    uint64_t bytes;
    MonotonicTime until;
  };
  void drop_first();

  std::deque<Held> held_;  // in order of `until`; at most kMostMessages
  uint64_t bytes_ = 0;     // of all held; <= kMostBytes
};

}  // namespace keelson::node
