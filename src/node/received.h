// node/received.h
//
// What a peer's message must be before raft's core sees it: of a kind and form that members send.
// The core takes some things for granted that it checks nowhere, as etcd's does, and ends the
// member over them; a peer, or whoever reaches the port of peers, is not to be believed so far.
//
// Threads: any; pure.

#pragma once

#include <string_view>

#include "raft/types.h"

namespace keelson::node {

// Why `message` is dropped by the member `self`; empty: it is not. Snapshots come another way.
std::string_view reason_to_drop(const raft::Message& message, MemberId self);

}  // namespace keelson::node
