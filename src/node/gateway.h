// node/gateway.h
//
// Gateway is an io lane's door to the node. It gathers the proposals and reads of one batch of the
// lane and hands them to the consensus lane at once, and brings the answers back in batches: a
// hundred requests cost one hop each way.
//
// Threads: all methods on the home lane only, but deliver() and answer_reads(), which any lane
// calls. Lifetime: outlives every callback; made before the node starts, kept until it has stopped.
// Deadlines: everybody is answered once, at the latest when the time is up, whatever holds it up:
//   no leader, a log or a state machine that waits for its disk. What comes back later is dropped.
//   As with etcd, a proposal that timed out may still be done.
// Fairness: what comes home is answered for about a millisecond in one task of the lane; then the
//   rest is posted again.
// Bounds: propose() and read() refuse with TooManyRequests when too much is under way: of proposals
//   in the member, until they come home, answered or not; of reads in one gateway, until answered.
// Shares: who has much under way is refused first (base/shares.h). The member's own is not, as long
//   as there is room.

#pragma once

#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "base/executor.h"
#include "base/origin.h"
#include "base/shares.h"
#include "node/member_state.h"
#include "node/proposal.h"
#include "node/wait_table.h"
#include "raft/conf_change.h"

namespace keelson::node {

class Consensus;

// Called once on the gateway's lane.
using ProposalDone = absl::AnyInvocable<void(apply::Reply)>;
// Called once on the gateway's lane: ok means that what is published now is at least as new as
// everything acknowledged before the read was asked for.
using ReadDone = absl::AnyInvocable<void(absl::Status)>;

class Gateway {
 public:
  struct Limits {
    int64_t max_pending = 64 * 1024;  // > 0
    int64_t max_pending_bytes = 256 << 20;
    int64_t max_pending_reads = 256 * 1024;              // of one gateway
    Duration request_timeout = std::chrono::seconds(7);  // etcd: 5 s + 2 election timeouts
    // Feature gate PriorityRequest: where others are refused, revocations of leases are let in
    // until twice as much of everything is under way, by shares of that. They are what takes the
    // load off.
    bool revocations_first = false;
  };

  // Of what is under way in the member: in bytes, where a proposal counts for as many as would let
  // max_pending of them in.
  static SharedShares shares(const Limits& limits);

  // `proposals` is all gateways', made by shares() of the same limits.
  Gateway(Executor& home, Consensus& consensus, MemberState& state, SharedShares& proposals,
          const Clock& clock, Limits limits);

  // Whether a proposal adds to the store. What does not (it deletes, compacts, names an alarm or
  // the member) is let in on a full disk, too: by it the disk gets space again. kRevoked: a lease's
  // keys go.
  enum class Space : uint8_t { kTaken, kSpared, kRevoked };

  // `data` is an encoded InternalRaftRequest that carries `id`; `hidden`: a transaction that went
  // through apply::hide_ranges(). `done` gets the reply of the state
  // machine, or an error: NoSpace, TooManyRequests, Timeout, Stopped, LeaderChanged.
  void propose(Origin from, uint64_t id, Bytes data, Space space, ProposalDone done,
               bool hidden = false);
  // As the leader of `term`, or not at all: LeaderChanged.
  void propose_in(Term term, uint64_t id, Bytes data, Space space, ProposalDone done);
  // A change of the membership. The reply says whether it was made; the table has it then.
  void propose_change(Origin from, raft::ConfChange change, ProposalDone done);

  // `done` is called once a linearizable read may be served from what is published; or with
  // TooManyRequests, Timeout, Stopped, LeaderChanged.
  void read(Origin from, ReadDone done) { read(from, 0, std::move(done)); }
  // `bytes`: what is kept until then; a kilobyte counts as one read.
  void read(Origin from, size_t bytes, ReadDone done);

  // Hands over what was gathered. To be called at the end of each batch of the home lane.
  void flush();

  // From other lanes: what was handed over comes home.
  void deliver(std::vector<ProposalPtr> answered);
  void answer_reads(ReadBatch batch, absl::Status status);

  Executor& home() { return home_; }

 private:
  struct Read {
    Origin from;
    int64_t cost;  // > 0
    ReadDone done;
  };

  absl::Status admit(Origin from, Space space, int64_t cost);
  Proposal* gather(Origin from, uint64_t id, Bytes data, Space space, ProposalDone done);
  void finish_from(size_t next, std::vector<ProposalPtr> answered);
  void finish(ProposalPtr proposal);
  void answer(ProposalDone done, apply::Reply reply);
  void answer(std::vector<Read> reads, const absl::Status& status);
  void answer_from(size_t next, std::vector<Read> reads, const absl::Status& status);
  void watch_deadlines();
  void expire();

  Executor& home_;
  Consensus& consensus_;
  MemberState& state_;
  SharedShares& proposal_shares_;
  const Clock& clock_;
  const Limits limits_;
  const int64_t least_cost_;            // of a proposal
  LaneShares read_shares_;              // of those that are not answered: >= reads_.size()
  std::vector<ProposalPtr> proposals_;  // gathered
  std::vector<Read> reads_;             // gathered
  // Who waits. All have the same time, so the deadlines are in order.
  WaitTable<ProposalDone> waiting_;
  WaitTable<std::vector<Read>> reading_;
  bool timer_set_ = false;  // while anybody waits who was handed over
};

}  // namespace keelson::node
