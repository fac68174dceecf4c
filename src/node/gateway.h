// node/gateway.h
//
// Gateway is an io lane's door to the node. It gathers the proposals and reads of one batch of the
// lane and hands them to the consensus lane at once, and brings the answers back in batches: a
// hundred requests cost one hop each way.
//
// Threads: all methods on the home lane only, but deliver() and answer_reads(), which any lane
// calls. Lifetime: outlives every callback; made before the node starts, kept until it has stopped.
// Bounds: propose() refuses with TooManyRequests when too much is under way in the member.

#pragma once

#include <vector>

#include "base/executor.h"
#include "node/proposal.h"
#include "node/status.h"

namespace keelson::node {

class Consensus;

class Gateway {
 public:
  struct Limits {
    int64_t max_pending = 64 * 1024;
    int64_t max_pending_bytes = 256 << 20;
    int64_t max_pending_reads = 256 * 1024;              // of one gateway
    Duration request_timeout = std::chrono::seconds(7);  // etcd: 5 s + 2 election timeouts
  };

  Gateway(Executor& home, Consensus& consensus, Status& status, const Clock& clock, Limits limits);

  // `data` is an encoded InternalRaftRequest that carries `id`. `done` gets the reply of the state
  // machine, or an error: NoSpace, TooManyRequests, Timeout, Stopped, LeaderChanged.
  void propose(uint64_t id, Bytes data, absl::AnyInvocable<void(apply::Reply)> done);

  // `done` is called once a linearizable read may be served from what is published; or with
  // TooManyRequests, Timeout, Stopped, LeaderChanged.
  void read(ReadDone done);

  // Hands over what was gathered. To be called at the end of each batch of the home lane.
  void flush();

  // From other lanes: the answers.
  void deliver(std::vector<ProposalPtr> answered);
  void answer_reads(ReadBatch batch, absl::Status status);

  Executor& home() { return home_; }

 private:
  void finish(ProposalPtr proposal);

  Executor& home_;
  Consensus& consensus_;
  Status& status_;
  const Clock& clock_;
  const Limits limits_;
  std::vector<ProposalPtr> proposals_;
  std::vector<ReadDone> reads_;
  int64_t reads_pending_ = 0;  // not answered yet, those in reads_ included
};

}  // namespace keelson::node
