// peer/consensus_receiver.h
//
// ConsensusReceiver hands what comes from other members to this member's consensus.
//
// A leader whose process is gone sends no heartbeats, so its followers do not wait for some: they
// forget it, and their time until they may stand for election begins where it would after an
// election timeout without any. (etcd-raft has MsgForgetLeader for this; etcd does not use it.) If
// it lives after all, its next heartbeat makes it their leader again, and with pre-vote nobody who
// still hears it lets another campaign.
//
// Threads: as peer/receiver.h. Lifetime: the consensus outlives it.

#pragma once

#include <functional>
#include <utility>

#include "base/log.h"
#include "node/consensus.h"
#include "peer/headers.h"
#include "peer/receiver.h"

namespace keelson::peer {

class ConsensusReceiver final : public Receiver {
 public:
  // `election_ticks`: of an election timeout; 0: without pre-vote, when a follower that is wrong
  // about its leader would disturb the others. `on_removed`: the member must end; once, on the peer
  // loop.
  ConsensusReceiver(node::Consensus* consensus, int election_ticks,
                    std::function<void()> on_removed)
      : consensus_(*consensus),
        election_ticks_(election_ticks),
        on_removed_(std::move(on_removed)) {}

  void receive(std::vector<raft::Message> messages, Task taken) override {
    consensus_.receive(std::move(messages), std::move(taken));
  }
  void unreachable(MemberId member) override { consensus_.unreachable(member); }
  void gone(MemberId member) override {
    // So much is left that all have found out before the first of them stands for election.
    const int ticks = election_ticks_ - kLeft;
    if (ticks <= 0) return;
    consensus_.with_core([member, ticks](raft::RawNode& core) {
      const raft::SoftState now = core.basic_status().soft_state;
      if (now.lead != member || now.state != raft::StateType::kFollower) return;
      log::warn("the leader's process is gone; not waiting for its heartbeats",
                {{"leader-member-id", id_text(member.value)}, {"forward-ticks", ticks}});
      if (!core.forget_leader().ok()) return;
      for (int i = 0; i < ticks; ++i) core.tick();
    });
  }
  void snapshot_sent(MemberId member, bool arrived) override {
    consensus_.snapshot_sent(member, arrived);
  }
  void removed() override { on_removed_(); }

 private:
  static constexpr int kLeft = 3;

  node::Consensus& consensus_;
  const int election_ticks_;
  const std::function<void()> on_removed_;
};

}  // namespace keelson::peer
