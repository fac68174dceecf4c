#include "node/gateway.h"

#include "base/errors.h"
#include "node/consensus.h"

namespace keelson::node {

Gateway::Gateway(Executor& home, Consensus& consensus, Status& status, const Clock& clock,
                 Limits limits)
    : home_(home), consensus_(consensus), status_(status), clock_(clock), limits_(limits) {}

void Gateway::propose(uint64_t id, Bytes data, absl::AnyInvocable<void(apply::Reply)> done) {
  auto refuse = [&](absl::Status status) { done(apply::Reply{std::move(status)}); };
  if (status_.no_space()) return refuse(errors::NoSpace());
  if (status_.store_behind.load(std::memory_order_relaxed) ||
      status_.proposals_pending.load(std::memory_order_relaxed) >= limits_.max_pending ||
      status_.proposal_bytes.load(std::memory_order_relaxed) >= limits_.max_pending_bytes) {
    return refuse(errors::RequestTooManyRequests());
  }
  auto proposal = std::make_unique<Proposal>();
  proposal->id = id;
  proposal->gateway = this;
  proposal->deadline = clock_.now() + limits_.request_timeout;
  proposal->charged_bytes = data.size();
  proposal->data = std::move(data);
  proposal->done = std::move(done);
  status_.proposals_pending.fetch_add(1, std::memory_order_relaxed);
  status_.proposal_bytes.fetch_add(static_cast<int64_t>(proposal->charged_bytes),
                                   std::memory_order_relaxed);
  proposals_.push_back(std::move(proposal));
}

void Gateway::read(ReadDone done) {
  if (reads_pending_ >= limits_.max_pending_reads) return done(errors::RequestTooManyRequests());
  ++reads_pending_;
  reads_.push_back(std::move(done));
}

void Gateway::flush() {
  if (proposals_.empty() && reads_.empty()) return;
  ReadBatch reads;
  if (!reads_.empty()) {
    reads.gateway = this;
    reads.deadline = clock_.now() + limits_.request_timeout;
    reads.done = std::move(reads_);
  }
  consensus_.submit(std::move(proposals_), std::move(reads));
  proposals_.clear();
  reads_.clear();
}

void Gateway::deliver(std::vector<ProposalPtr> answered) {
  home_.post([this, answered = std::move(answered)]() mutable {
    for (ProposalPtr& proposal : answered) finish(std::move(proposal));
  });
}

void Gateway::finish(ProposalPtr proposal) {
  status_.proposals_pending.fetch_sub(1, std::memory_order_relaxed);
  status_.proposal_bytes.fetch_sub(static_cast<int64_t>(proposal->charged_bytes),
                                   std::memory_order_relaxed);
  proposal->done(std::move(proposal->reply));
}

void Gateway::answer_reads(ReadBatch batch, absl::Status status) {
  home_.post([this, batch = std::move(batch), status = std::move(status)]() mutable {
    reads_pending_ -= static_cast<int64_t>(batch.done.size());
    for (ReadDone& done : batch.done) done(status);
  });
}

}  // namespace keelson::node
