// peer/first_contact.h
//
// FirstContact stands before the receiver of a member that has founded a cluster and not taken part
// in it yet. Its disk may have been wiped: then it has voted and acknowledged entries in an earlier
// life, and must do neither again, or what others were told is there could be lost. It asks the
// others about that before it founds anything, but those that start at the same moment, as after a
// power failure, cannot answer yet. So each is asked once more when its first messages come, which
// wait for the answer: who is known there as started ends (etcd does not ask again).
//
// Bounds: what waits is bounded by who gives it (peer/receiver.h).
// Threads: as peer/receiver.h. Lifetime: what is passed in outlives it; the questions it has asked
//   do not.
// Errors: a member that cannot be asked is asked again with its next messages; those that waited
//   are dropped, as a network drops them.

#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "membership/cluster.h"
#include "peer/ask.h"
#include "peer/receiver.h"

namespace keelson::peer {

class FirstContact final : public Receiver {
 public:
  struct Parts {
    Receiver* receiver;
    // Ask::members(): answered on the peer loop, never from inside.
    std::function<void(Urls, Done<RemoteCluster>)> ask;
    MemberId self;
    std::function<std::shared_ptr<const membership::View>()> members;
    // Whether it has asked the cluster, in this life, to be known as started. From then on nobody
    // is asked.
    std::function<bool()> has_announced;
    std::function<void(absl::Status)> refused;  // it must end. Once
  };
  explicit FirstContact(Parts parts) : parts_(std::move(parts)) {}

  void receive(std::vector<raft::Message> messages, Task taken) override;
  void unreachable(MemberId member) override { parts_.receiver->unreachable(member); }
  void gone(MemberId member) override { parts_.receiver->gone(member); }
  void snapshot_sent(MemberId member, bool arrived) override {
    parts_.receiver->snapshot_sent(member, arrived);
  }
  void removed() override { parts_.receiver->removed(); }

 private:
  struct Waiting {
    std::vector<raft::Message> messages;
    Task taken;
  };
  struct Other {
    bool cleared = false;
    bool asking = false;           // not when cleared
    std::vector<Waiting> waiting;  // empty unless asking
  };

  void ask(MemberId member);
  void answered(MemberId member, const absl::StatusOr<RemoteCluster>& answer);
  bool knows_as_started(const RemoteCluster& cluster) const;

  const Parts parts_;
  std::map<MemberId, Other> others_;  // no more than there are members
  bool refused_ = false;
};

}  // namespace keelson::peer
