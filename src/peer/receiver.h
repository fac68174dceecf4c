// peer/receiver.h
//
// Receiver is who the messages of other members are for, and the news of how sending to them goes:
// the member's consensus (peer/consensus_receiver.h), or a test.
//
// Threads: called on the peer loop; none of it may block.
// Lifetime: outlives the Network's stop().

#pragma once

#include <vector>

#include "base/executor.h"
#include "base/ids.h"
#include "raft/types.h"

namespace keelson::peer {

class Receiver {
 public:
  virtual ~Receiver() = default;
  // Messages of one member to this one, in order. `taken` is to be called once, on any thread, when
  // none of them waits any more: how many may wait is bounded by it. Never a MsgSnap.
  virtual void receive(std::vector<raft::Message> messages, Task taken) = 0;
  // A message to `member` was lost.
  virtual void unreachable(MemberId member) = 0;
  // The streams from `member` have ended and nobody listens where it was: its process is gone, or
  // about to be. Once, until it has been back.
  virtual void gone(MemberId member) = 0;
  // How sending a snapshot to `member` went; once for each.
  virtual void snapshot_sent(MemberId member, bool arrived) = 0;
  // Another member says that this one has been removed from the cluster for good: it must end, and
  // not come back. Once.
  virtual void removed() = 0;
};

}  // namespace keelson::peer
