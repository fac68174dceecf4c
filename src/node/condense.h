// node/condense.h
//
// What one turn of the core makes for another member is often said better by fewer messages: of
// heartbeats, and of answers to them, the last says all; an acknowledgement of index n covers those
// of lower ones; an append that goes on where the one before ends can go with it. To raft it is as
// if the earlier ones had been lost, or as if it had sent the longer append at once.
//
// Threads: none of its own; a pure function.

#pragma once

#include <cstdint>
#include <vector>

#include "raft/types.h"

namespace keelson::node {

// etcd's number; the core keeps to it, too.
inline constexpr uint64_t kMostInAppend = 1 << 20;

// Messages to other members, in order. `most`: payload bytes that one append may come to by it.
void condense(std::vector<raft::Message>* messages, uint64_t most = kMostInAppend);

}  // namespace keelson::node
