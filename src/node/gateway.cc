#include "node/gateway.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/errors.h"
#include "node/consensus.h"

namespace keelson::node {
namespace {

// How long answers go on in one task of the lane.
constexpr Duration kSlice = std::chrono::milliseconds(1);

}  // namespace

Gateway::Gateway(Executor& home, Consensus& consensus, MemberState& state, const Clock& clock,
                 Limits limits)
    : home_(home), consensus_(consensus), state_(state), clock_(clock), limits_(limits) {
  CHECK(limits_.max_pending > 0);
  CHECK(limits_.max_pending_bytes > 0);
  CHECK(limits_.max_pending_reads > 0);
  CHECK(limits_.request_timeout > Duration(0));
}

absl::Status Gateway::admit(Space space) const {
  if (space == Space::kTaken && state_.no_space()) return errors::NoSpace();
  const int64_t times = space == Space::kRevoked && limits_.revocations_first ? 2 : 1;
  if (state_.store_behind.load(std::memory_order_relaxed) ||
      state_.proposals_pending.load(std::memory_order_relaxed) >= times * limits_.max_pending ||
      state_.proposal_bytes.load(std::memory_order_relaxed) >= times * limits_.max_pending_bytes) {
    return errors::RequestTooManyRequests();
  }
  return absl::OkStatus();
}

// Null: refused, and answered.
Proposal* Gateway::gather(uint64_t id, Bytes data, Space space, ProposalDone done) {
  if (absl::Status status = admit(space); !status.ok()) {
    done(apply::Reply{std::move(status)});
    return nullptr;
  }
  auto proposal = std::make_unique<Proposal>();
  proposal->id = id;
  proposal->gateway = this;
  proposal->deadline = clock_.now() + limits_.request_timeout;
  proposal->charged_bytes = data.size();
  proposal->data = std::move(data);
  proposal->ticket = waiting_.add(proposal->deadline, std::move(done));
  const int64_t before = state_.proposals_pending.fetch_add(1, std::memory_order_relaxed);
  CHECK(before >= static_cast<int64_t>(proposals_.size()));  // these are counted already
  state_.proposal_bytes.fetch_add(static_cast<int64_t>(proposal->charged_bytes),
                                  std::memory_order_relaxed);
  proposals_.push_back(std::move(proposal));
  return proposals_.back().get();
}

void Gateway::propose(uint64_t id, Bytes data, Space space, ProposalDone done) {
  gather(id, std::move(data), space, std::move(done));
}

void Gateway::propose_in(Term term, uint64_t id, Bytes data, Space space, ProposalDone done) {
  CHECK(term != Term(0));
  Proposal* proposal = gather(id, std::move(data), space, std::move(done));
  if (proposal) proposal->only_in = term;
}

void Gateway::propose_change(raft::ConfChange change, ProposalDone done) {
  Proposal* proposal = gather(change.id, raft::encode(change), Space::kSpared, std::move(done));
  if (proposal) proposal->entry_type = raft::EntryType::kConfChange;
}

void Gateway::read(ReadDone done) {
  if (reads_pending_ >= limits_.max_pending_reads) return done(errors::RequestTooManyRequests());
  ++reads_pending_;
  reads_.push_back(std::move(done));
  CHECK(reads_pending_ >= static_cast<int64_t>(reads_.size()));
  CHECK(reads_pending_ <= limits_.max_pending_reads);
}

void Gateway::flush() {
  if (proposals_.empty() && reads_.empty()) return;
  ReadBatch reads;
  if (!reads_.empty()) {
    reads.gateway = this;
    reads.deadline = clock_.now() + limits_.request_timeout;
    reads.count = static_cast<int64_t>(reads_.size());
    reads.ticket = reading_.add(reads.deadline, std::exchange(reads_, {}));
  }
  consensus_.submit(std::exchange(proposals_, {}), reads);
  watch_deadlines();
  CHECK(timer_set_ || (waiting_.empty() && reading_.empty()));
}

void Gateway::deliver(std::vector<ProposalPtr> answered) {
  home_.post(
      [this, answered = std::move(answered)]() mutable { finish_from(0, std::move(answered)); });
}

void Gateway::finish_from(size_t next, std::vector<ProposalPtr> answered) {
  CHECK(next <= answered.size());
  const MonotonicTime until = clock_.now() + kSlice;
  while (next < answered.size()) {
    finish(std::move(answered[next++]));
    if (clock_.now() >= until) break;
  }
  if (next == answered.size()) return;
  home_.post([this, next, answered = std::move(answered)]() mutable {
    finish_from(next, std::move(answered));
  });
}

void Gateway::finish(ProposalPtr proposal) {
  CHECK(proposal->gateway == this);
  const int64_t pending = state_.proposals_pending.fetch_sub(1, std::memory_order_relaxed);
  const auto bytes = static_cast<int64_t>(proposal->charged_bytes);
  const int64_t charged = state_.proposal_bytes.fetch_sub(bytes, std::memory_order_relaxed);
  CHECK(pending > 0);
  CHECK(charged >= bytes);
  std::optional<ProposalDone> done = waiting_.take(proposal->ticket);
  if (done) answer(*std::move(done), std::move(proposal->reply));
}

void Gateway::answer_reads(ReadBatch batch, absl::Status status) {
  CHECK(batch.gateway == this);
  CHECK(batch.count > 0);
  home_.post([this, batch, status = std::move(status)] {
    reads_pending_ -= batch.count;
    CHECK(reads_pending_ >= 0);
    std::optional<std::vector<ReadDone>> reads = reading_.take(batch.ticket);
    if (reads) answer(*std::move(reads), status);
  });
}

void Gateway::answer(ProposalDone done, apply::Reply reply) {
  if (!reply.status.ok() && reply.status == errors::Timeout()) {
    state_.proposals_failed.fetch_add(1, std::memory_order_relaxed);
  }
  done(std::move(reply));
}

void Gateway::answer(std::vector<ReadDone> reads, const absl::Status& status) {
  if (!status.ok()) state_.read_indexes_failed.fetch_add(1, std::memory_order_relaxed);
  answer_from(0, std::move(reads), status);
}

// One round may answer thousands of reads, and each may take a good part of a millisecond: the rest
// has its turn when the lane's other work has had it.
void Gateway::answer_from(size_t next, std::vector<ReadDone> reads, const absl::Status& status) {
  CHECK(next <= reads.size());
  const MonotonicTime until = clock_.now() + kSlice;
  while (next < reads.size()) {
    reads[next++](status);
    if (clock_.now() >= until) break;
  }
  if (next == reads.size()) return;
  home_.post([this, next, reads = std::move(reads), status]() mutable {
    answer_from(next, std::move(reads), status);
  });
}

// One timer at a time, for the first deadline: in the normal run it finds nobody and goes on to the
// next.
void Gateway::watch_deadlines() {
  if (timer_set_ || (waiting_.empty() && reading_.empty())) return;
  MonotonicTime next = waiting_.empty() ? reading_.next_deadline() : waiting_.next_deadline();
  if (!reading_.empty()) next = std::min(next, reading_.next_deadline());
  CHECK(!timer_set_);
  timer_set_ = true;
  home_.post_after(std::max(next - clock_.now(), Duration(0)), [this] {
    timer_set_ = false;
    expire();
    watch_deadlines();
  });
}

void Gateway::expire() {
  const MonotonicTime now = clock_.now();
  while (std::optional<ProposalDone> done = waiting_.take_expired(now)) {
    answer(*std::move(done), apply::Reply{errors::Timeout()});
  }
  while (std::optional<std::vector<ReadDone>> reads = reading_.take_expired(now)) {
    answer(*std::move(reads), errors::Timeout());
  }
  CHECK(waiting_.empty() || waiting_.next_deadline() > now);
  CHECK(reading_.empty() || reading_.next_deadline() > now);
}

}  // namespace keelson::node
