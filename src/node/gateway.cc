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

// Of the tables in which shares are counted. With 500 clients of which each floods one in a
// thousand of the others is mistaken for one of them; of a lane's reads, one in seventy.
constexpr size_t kProposalRows = 16 << 10;
constexpr size_t kReadRows = 4 << 10;

// Of what a read keeps while it waits, so much counts as one more read.
constexpr size_t kReadUnit = 1 << 10;

template <Threads threads>
absl::Status judge(const Shares<threads>& shares, Origin from, int64_t more, int64_t most,
                   Refusals& refusals) {
  using Verdict = typename Shares<threads>::Verdict;
  const Verdict verdict = shares.ask(from, more, most);
  if (verdict == Verdict::kYes) return absl::OkStatus();
  auto& why = verdict == Verdict::kFull ? refusals.full : refusals.share;
  why.fetch_add(1, std::memory_order_relaxed);
  return errors::RequestTooManyRequests();
}

int64_t least_cost(const Gateway::Limits& limits) {
  CHECK(limits.max_pending > 0);
  return std::max<int64_t>(1, limits.max_pending_bytes / limits.max_pending);
}

// What max_pending of the least ones cost, not a byte more: as long as anything is free somebody
// who has nothing gets in.
int64_t most_pending(const Gateway::Limits& limits) {
  return std::min(limits.max_pending_bytes, limits.max_pending * least_cost(limits));
}

}  // namespace

SharedShares Gateway::shares(const Limits& limits) {
  return SharedShares(most_pending(limits), kProposalRows);
}

Gateway::Gateway(Executor& home, Consensus& consensus, MemberState& state, SharedShares& proposals,
                 const Clock& clock, Limits limits)
    : home_(home),
      consensus_(consensus),
      state_(state),
      proposal_shares_(proposals),
      clock_(clock),
      limits_(limits),
      least_cost_(least_cost(limits)),
      read_shares_(limits.max_pending_reads, kReadRows) {
  CHECK(limits_.request_timeout > Duration(0));
  CHECK(proposal_shares_.most() == most_pending(limits_));
}

absl::Status Gateway::admit(Origin from, Space space, int64_t cost) {
  if (space == Space::kTaken && state_.no_space()) return errors::NoSpace();
  if (state_.store_behind.load(std::memory_order_relaxed)) {
    state_.proposals_refused.behind.fetch_add(1, std::memory_order_relaxed);
    return errors::RequestTooManyRequests();
  }
  const bool first = space == Space::kRevoked && limits_.revocations_first;
  const int64_t most = (first ? 2 : 1) * proposal_shares_.most();
  return judge(proposal_shares_, from, cost, most, state_.proposals_refused);
}

// Null: refused, and answered.
Proposal* Gateway::gather(Origin from, uint64_t id, Bytes data, Space space, ProposalDone done) {
  const int64_t cost = std::max(least_cost_, static_cast<int64_t>(data.size()));
  if (absl::Status status = admit(from, space, cost); !status.ok()) {
    done(apply::Reply{std::move(status)});
    return nullptr;
  }
  auto proposal = std::make_unique<Proposal>();
  proposal->id = id;
  proposal->gateway = this;
  proposal->from = from;
  proposal->cost = cost;
  proposal->deadline = clock_.now() + limits_.request_timeout;
  proposal->data = std::move(data);
  proposal->ticket = waiting_.add(proposal->deadline, std::move(done));
  const int64_t before = state_.proposals_pending.fetch_add(1, std::memory_order_relaxed);
  CHECK(before >= static_cast<int64_t>(proposals_.size()));  // these are counted already
  proposal_shares_.add(from, cost);
  proposals_.push_back(std::move(proposal));
  return proposals_.back().get();
}

void Gateway::propose(Origin from, uint64_t id, Bytes data, Space space, ProposalDone done,
                      bool hidden) {
  Proposal* proposal = gather(from, id, std::move(data), space, std::move(done));
  if (proposal) proposal->hidden = hidden;
}

void Gateway::propose_in(Term term, uint64_t id, Bytes data, Space space, ProposalDone done) {
  CHECK(term != Term(0));
  Proposal* proposal = gather({}, id, std::move(data), space, std::move(done));
  if (proposal) proposal->only_in = term;
}

void Gateway::propose_change(Origin from, raft::ConfChange change, ProposalDone done) {
  Proposal* proposal =
      gather(from, change.id, raft::encode(change), Space::kSpared, std::move(done));
  if (proposal) proposal->entry_type = raft::EntryType::kConfChange;
}

void Gateway::read(Origin from, size_t bytes, ReadDone done) {
  const auto cost = static_cast<int64_t>(1 + bytes / kReadUnit);
  if (absl::Status s = judge(read_shares_, from, cost, read_shares_.most(), state_.reads_refused);
      !s.ok()) {
    return done(std::move(s));
  }
  read_shares_.add(from, cost);
  reads_.push_back({from, cost, std::move(done)});
  CHECK(read_shares_.total() >= static_cast<int64_t>(reads_.size()));
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
  CHECK(pending > 0);
  proposal_shares_.remove(proposal->from, proposal->cost);
  std::optional<ProposalDone> done = waiting_.take(proposal->ticket);
  if (done) answer(*std::move(done), std::move(proposal->reply));
}

void Gateway::answer_reads(ReadBatch batch, absl::Status status) {
  CHECK(batch.gateway == this);
  CHECK(batch.count > 0);
  home_.post([this, batch, status = std::move(status)] {
    std::optional<std::vector<Read>> reads = reading_.take(batch.ticket);
    if (reads) answer(*std::move(reads), status);
  });
}

void Gateway::answer(ProposalDone done, apply::Reply reply) {
  if (!reply.status.ok() && reply.status == errors::Timeout()) {
    state_.proposals_failed.fetch_add(1, std::memory_order_relaxed);
  }
  done(std::move(reply));
}

void Gateway::answer(std::vector<Read> reads, const absl::Status& status) {
  if (!status.ok()) state_.read_indexes_failed.fetch_add(1, std::memory_order_relaxed);
  answer_from(0, std::move(reads), status);
}

// One round may answer thousands of reads, and each may take a good part of a millisecond: the rest
// has its turn when the lane's other work has had it.
void Gateway::answer_from(size_t next, std::vector<Read> reads, const absl::Status& status) {
  CHECK(next <= reads.size());
  const MonotonicTime until = clock_.now() + kSlice;
  while (next < reads.size()) {
    Read& read = reads[next++];
    read_shares_.remove(read.from, read.cost);
    read.done(status);
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
  while (std::optional<std::vector<Read>> reads = reading_.take_expired(now)) {
    answer(*std::move(reads), errors::Timeout());
  }
  CHECK(waiting_.empty() || waiting_.next_deadline() > now);
  CHECK(reading_.empty() || reading_.next_deadline() > now);
}

}  // namespace keelson::node
