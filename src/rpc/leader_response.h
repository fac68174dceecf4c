// rpc/leader_response.h
//
// The answer of Election's Leader and Observe, around the leader's KeyValue as the store has it.
//
// Threads: a pure function.

#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "base/protobuf.h"
#include "rpc/context.h"

namespace keelson::rpc {

// v3electionpb.LeaderResponse: kv = 2.
inline Parts leader_response(Context& context, int64_t revision, Bytes kv) {
  std::string head;
  pb::append_bytes_head(head, 2, kv.size());
  Parts body = Parts::copy(head);
  body.add(std::move(kv));
  return context.respond(revision, std::move(body));
}

}  // namespace keelson::rpc
