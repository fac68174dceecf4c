// node/transport.h
//
// How messages get to the other members. peer/ implements it over etcd's peer protocol, the
// simulator over its own network. A member without peers needs none.
//
// Threads: send() on the consensus lane; it must not block and may drop: raft repeats itself.

#pragma once

#include <vector>

#include "raft/types.h"

namespace keelson::node {

class Transport {
 public:
  virtual ~Transport() = default;
  virtual void send(std::vector<raft::Message> messages) = 0;
};

}  // namespace keelson::node
