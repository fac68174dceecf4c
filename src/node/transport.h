// node/transport.h
//
// How messages get to the other members. peer/ implements it over etcd's peer protocol, the
// simulator over its own network. A member without peers needs none.
//
// Threads: send() on the consensus lane; neither may block. send() may drop: raft repeats itself.

#pragma once

#include <memory>
#include <vector>

#include "backend/backend.h"
#include "raft/types.h"

namespace keelson::node {

class Transport {
 public:
  virtual ~Transport() = default;
  virtual void send(std::vector<raft::Message> messages) = 0;
  // `message` is a MsgSnap that names the state as of its index. Called on the apply lane; takes
  // its time elsewhere and tells Consensus::snapshot_sent() how it went, always.
  virtual void send_snapshot(raft::Message message,
                             std::shared_ptr<const backend::Snapshot> state) = 0;
};

}  // namespace keelson::node
