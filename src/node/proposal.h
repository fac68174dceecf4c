// node/proposal.h
//
// A proposal on its way from an io lane through consensus, log and apply and back, and the reads
// that wait for the read index. Each is one object that the lanes hand on; none of them is shared.
// Who waits for it stays behind in the gateway, under the ticket, and is answered when the deadline
// passes, wherever the object is then. The object itself always comes home: what it was charged is
// free again only then.

#pragma once

#include <cstdint>
#include <memory>

#include "apply/reply.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/ids.h"
#include "base/origin.h"
#include "node/wait_table.h"
#include "raft/entries.h"

namespace keelson::node {

class Gateway;

struct Proposal {
  uint64_t id = 0;  // the request id inside `data`
  Bytes data;       // the encoded InternalRaftRequest, or raftpb.ConfChange
  raft::EntryType entry_type = raft::EntryType::kNormal;  // or kConfChange
  Term only_in;  // not 0: to be proposed by this member as the leader of that term, or not at all
  bool hidden = false;  // a transaction that went through apply::hide_ranges()
  Gateway* gateway = nullptr;
  Origin from;
  WaitTicket ticket;
  MonotonicTime deadline;
  Term term;         // in which this member, its leader, took it; 0: sent to another
  int64_t cost = 0;  // what it takes of the gateways' shares; > 0
  apply::Reply reply;
};
using ProposalPtr = std::unique_ptr<Proposal>;

// The reads that one gateway gathered in one batch.
struct ReadBatch {
  Gateway* gateway = nullptr;
  WaitTicket ticket;
  MonotonicTime deadline;
  int64_t count = 0;  // 0: no batch
};

}  // namespace keelson::node
