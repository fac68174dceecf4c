#include "node/proposals.h"

#include <algorithm>
#include <iterator>
#include <span>
#include <utility>

#include "base/check.h"
#include "base/errors.h"
#include "node/gateway.h"

namespace keelson::node {
namespace {

bool is_change(const Proposal& proposal) { return proposal.entry_type != raft::EntryType::kNormal; }

void drop_late(std::vector<ProposalPtr>& waiting, MonotonicTime now,
               std::vector<ProposalPtr>* late) {
  auto from = std::stable_partition(
      waiting.begin(), waiting.end(),
      [now](const ProposalPtr& proposal) { return proposal->deadline > now; });
  std::move(from, waiting.end(), std::back_inserter(*late));
  waiting.erase(from, waiting.end());
}

}  // namespace

void Proposals::add(std::vector<ProposalPtr> proposals) {
  for (ProposalPtr& proposal : proposals) {
    CHECK(proposal != nullptr);
    CHECK(proposal->gateway != nullptr);
    CHECK(proposal->term == Term(0));
    (is_change(*proposal) ? changes_ : waiting_).push_back(std::move(proposal));
  }
}

void Proposals::propose(raft::RawNode& core, const Standing& standing) {
  if (waiting_.empty() && changes_.empty()) return;
  refuse_outdated(standing);
  if (standing.leader == raft::kNobody) return;
  if (standing.leads && core.basic_status().lead_transferee != raft::kNobody) return;
  size_t done = 0;
  while (done < waiting_.size()) {
    const size_t count = count_together(done);
    std::vector<raft::Entry> entries(count);
    for (size_t i = 0; i < count; ++i) entries[i].data = waiting_[done + i]->data;
    if (!core.propose(std::span(entries)).ok()) break;
    for (size_t i = 0; i < count; ++i) take_note(std::move(waiting_[done + i]), standing);
    done += count;
  }
  waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<ptrdiff_t>(done));
  if (changing_ == 0 && !changes_.empty()) propose_change(core, standing);
  check_invariants();
}

void Proposals::check_invariants() const {
  CHECK(changing_ != 0 || change_index_ == Index(0));
  CHECK(changing_ == 0 || change_index_ != Index(0) || under_way_.contains(changing_));
  CHECK(!under_way_.contains(0));
}

void Proposals::propose_change(raft::RawNode& core, const Standing& standing) {
  CHECK(changing_ == 0);
  // Another member's, or one of an earlier leader.
  if (core.basic_status().change_pending) return;
  raft::Entry entry;
  entry.type = raft::EntryType::kConfChange;
  entry.data = changes_.front()->data;
  if (!core.propose(std::span(&entry, 1)).ok()) return;
  changing_ = changes_.front()->id;
  take_note(std::move(changes_.front()), standing);
  changes_.erase(changes_.begin());
}

// How many of those that wait fit into one message; at least one.
size_t Proposals::count_together(size_t from) const {
  CHECK(from < waiting_.size());
  uint64_t bytes = waiting_[from]->data.size();
  size_t end = from + 1;
  while (end < waiting_.size() && (bytes += waiting_[end]->data.size()) <= kMostBytes) ++end;
  return end - from;
}

void Proposals::take_note(ProposalPtr proposal, const Standing& standing) {
  CHECK(proposal->id != 0);
  CHECK(!under_way_.contains(proposal->id));
  proposal->data = {};
  proposal->term = standing.leads ? standing.term : Term(0);
  deadlines_.emplace_back(proposal->deadline, proposal->id);
  under_way_[proposal->id] = std::move(proposal);
}

void Proposals::refuse_outdated(const Standing& standing) {
  auto outdated = [&standing](const ProposalPtr& proposal) {
    if (proposal->only_in == Term(0)) return false;
    return !standing.leads || standing.term != proposal->only_in;
  };
  if (std::none_of(waiting_.begin(), waiting_.end(), outdated)) return;
  auto from = std::stable_partition(waiting_.begin(), waiting_.end(),
                                    [&](const ProposalPtr& p) { return !outdated(p); });
  for (auto it = from; it != waiting_.end(); ++it) reply(std::move(*it), errors::LeaderChanged());
  waiting_.erase(from, waiting_.end());
}

ProposalPtr Proposals::take(uint64_t id, Index index) {
  auto it = under_way_.find(id);
  if (it == under_way_.end()) return nullptr;
  ProposalPtr proposal = std::move(it->second);
  under_way_.erase(it);
  CHECK(proposal->id == id);
  if (changing_ == id) change_index_ = index;
  return proposal;
}

void Proposals::applied(Index index) {
  if (change_index_ == Index(0) || index < change_index_) return;
  CHECK(changing_ != 0);
  changing_ = 0;
  change_index_ = Index(0);
}

// It will not come out of the log any more, as far as anybody here waits for it.
ProposalPtr Proposals::give_up(uint64_t id) {
  ProposalPtr proposal = take(id, Index(0));
  CHECK(proposal != nullptr);
  if (changing_ == id) changing_ = 0;
  return proposal;
}

void Proposals::expire(MonotonicTime now, const Standing& standing) {
  // What was committed meanwhile leaves the queue, too, or it would hold all of the last seconds.
  while (!deadlines_.empty()) {
    auto it = under_way_.find(deadlines_.front().second);
    if (it != under_way_.end() && deadlines_.front().first > now) break;
    deadlines_.pop_front();
    if (it == under_way_.end() || is_in_our_log(*it->second, standing)) continue;
    reply(give_up(it->first), errors::Timeout());
  }
  std::vector<ProposalPtr> late;
  drop_late(waiting_, now, &late);
  drop_late(changes_, now, &late);
  for (ProposalPtr& proposal : late) reply(std::move(proposal), errors::Timeout());
  check_invariants();
}

// As long as the leader that took it leads, a proposal stays in its log, and will be applied. Not
// so a membership change: raft may have put an empty entry in its place.
bool Proposals::is_in_our_log(const Proposal& proposal, const Standing& standing) {
  return standing.leads && proposal.term == standing.term && !is_change(proposal);
}

void Proposals::give_up_lost(MonotonicTime now, const Standing& standing) {
  std::vector<uint64_t> lost;
  for (const auto& [id, proposal] : under_way_) {
    if (proposal->deadline <= now && !is_in_our_log(*proposal, standing)) lost.push_back(id);
  }
  for (uint64_t id : lost) reply(give_up(id), errors::Timeout());
  check_invariants();
}

void Proposals::fail_all(const absl::Status& status) {
  for (ProposalPtr& proposal : waiting_) reply(std::move(proposal), status);
  waiting_.clear();
  for (ProposalPtr& proposal : changes_) reply(std::move(proposal), status);
  changes_.clear();
  for (auto& [id, proposal] : under_way_) reply(std::move(proposal), status);
  under_way_.clear();
  deadlines_.clear();
  changing_ = 0;
  change_index_ = Index(0);
  check_invariants();
}

void Proposals::reply(ProposalPtr proposal, absl::Status status) {
  CHECK(!status.ok());
  Gateway* gateway = proposal->gateway;
  proposal->reply = {std::move(status)};
  std::vector<ProposalPtr> one;
  one.push_back(std::move(proposal));
  gateway->deliver(std::move(one));
}

}  // namespace keelson::node
