// node/proposal.h
//
// A proposal on its way from an io lane through consensus, log and apply and back, and a read that
// waits for the read index. Each is one object that the lanes hand on; none of them is shared.

#pragma once

#include <memory>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "apply/reply.h"
#include "base/bytes.h"
#include "base/clock.h"

namespace keelson::node {

class Gateway;

struct Proposal {
  uint64_t id = 0;  // the request id inside `data`
  Bytes data;       // the encoded InternalRaftRequest
  Gateway* gateway = nullptr;
  MonotonicTime deadline;
  size_t charged_bytes = 0;  // what Status::proposal_bytes was raised by
  apply::Reply reply;
  // Called once on the gateway's lane.
  absl::AnyInvocable<void(apply::Reply)> done;
};
using ProposalPtr = std::unique_ptr<Proposal>;

// Called once on the gateway's lane: ok means that what is published now is at least as new as
// everything acknowledged before the read was asked for.
using ReadDone = absl::AnyInvocable<void(absl::Status)>;

// The reads that one gateway gathered in one batch.
struct ReadBatch {
  Gateway* gateway = nullptr;
  MonotonicTime deadline;
  std::vector<ReadDone> done;
};

}  // namespace keelson::node
