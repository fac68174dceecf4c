// peer/consensus_receiver.h
//
// ConsensusReceiver hands what comes from other members to this member's consensus.
//
// Threads: as peer/receiver.h. Lifetime: the consensus outlives it.

#pragma once

#include <functional>
#include <utility>

#include "node/consensus.h"
#include "peer/receiver.h"

namespace keelson::peer {

class ConsensusReceiver final : public Receiver {
 public:
  // `on_removed`: the member must end; once, on the peer loop.
  ConsensusReceiver(node::Consensus* consensus, std::function<void()> on_removed)
      : consensus_(*consensus), on_removed_(std::move(on_removed)) {}

  void receive(std::vector<raft::Message> messages, Task taken) override {
    consensus_.receive(std::move(messages), std::move(taken));
  }
  void unreachable(MemberId member) override { consensus_.unreachable(member); }
  void snapshot_sent(MemberId member, bool arrived) override {
    consensus_.snapshot_sent(member, arrived);
  }
  void removed() override { on_removed_(); }

 private:
  node::Consensus& consensus_;
  const std::function<void()> on_removed_;
};

}  // namespace keelson::peer
