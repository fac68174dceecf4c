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

// Taken out of the queue at a time, ahead of the core: who comes meanwhile is behind them.
constexpr size_t kMostTogether = 256;

bool is_change(const Proposal& proposal) { return proposal.entry_type != raft::EntryType::kNormal; }

bool is_late(const Proposal& proposal, MonotonicTime now) { return proposal.deadline <= now; }

void drop_late(std::vector<ProposalPtr>& waiting, MonotonicTime now,
               std::vector<ProposalPtr>* late) {
  auto from = std::stable_partition(
      waiting.begin(), waiting.end(),
      [now](const ProposalPtr& proposal) { return !is_late(*proposal, now); });
  std::move(from, waiting.end(), std::back_inserter(*late));
  waiting.erase(from, waiting.end());
}

}  // namespace

Proposals::Proposals(Window window) : window_(window) {
  CHECK(window_.proposals > 0);
  CHECK(window_.cost > 0);
}

void Proposals::add(std::vector<ProposalPtr> proposals) {
  for (ProposalPtr& proposal : proposals) {
    CHECK(proposal != nullptr);
    CHECK(proposal->gateway != nullptr);
    CHECK(proposal->term == Term(0));
    CHECK(proposal->cost > 0);
    auto& waiting =
        is_change(*proposal) ? changes_ : (proposal->only_in != Term(0) ? leaders_ : waiting_);
    waiting.push_back(std::move(proposal));
  }
}

void Proposals::propose(raft::RawNode& core, const Standing& standing) {
  held_up_ = false;
  if (!any_waits()) return;
  refuse_outdated(standing);
  if (standing.leader == raft::kNobody) return;
  if (standing.leads && core.basic_status().lead_transferee != raft::kNobody) return;
  give_in_order(leaders_, core, standing);
  if (next_.empty() && queue_.empty()) give_in_order(waiting_, core, standing);
  if (!waiting_.empty() || !next_.empty() || !queue_.empty()) give_in_turns(core, standing);
  if (changing_ == 0 && !changes_.empty()) propose_change(core, standing);
  held_up_ = any_waits() && !has_room(standing);
  check_invariants();
}

bool Proposals::any_waits() const {
  return !waiting_.empty() || !changes_.empty() || !leaders_.empty() || !next_.empty() ||
         !queue_.empty();
}

// What was given in another term may have been cut off the log.
bool Proposals::has_room(const Standing& standing) const {
  if (!standing.leads || standing.term != window_term_) return true;
  return in_window_ < window_.proposals && window_cost_ < window_.cost;
}

// How many from `from` on fit into one message, and have room; one at least.
size_t Proposals::count_together(const std::vector<ProposalPtr>& proposals, size_t from,
                                 const Standing& standing) const {
  CHECK(from < proposals.size());
  CHECK(has_room(standing));
  const bool bounded = standing.leads;
  const bool fresh = standing.term != window_term_;
  size_t most = bounded ? window_.proposals - (fresh ? 0 : in_window_) : SIZE_MAX;
  int64_t cost = bounded && !fresh ? window_cost_ : 0;
  uint64_t bytes = 0;
  size_t end = from;
  while (end < proposals.size() && end - from < most) {
    if (bounded && cost >= window_.cost) break;
    bytes += proposals[end]->data.size();
    if (end > from && bytes > kMostBytes) break;
    cost += proposals[end++]->cost;
  }
  CHECK(end > from);
  return end - from;
}

// As far as there is room, and the core takes them.
void Proposals::give_in_order(std::vector<ProposalPtr>& proposals, raft::RawNode& core,
                              const Standing& standing) {
  size_t done = 0;
  while (done < proposals.size() && has_room(standing)) {
    const size_t count = count_together(proposals, done, standing);
    std::vector<raft::Entry> entries(count);
    for (size_t i = 0; i < count; ++i) entries[i].data = proposals[done + i]->data;
    if (!core.propose(std::span(entries)).ok()) break;
    for (size_t i = 0; i < count; ++i) take_note(std::move(proposals[done + i]), standing);
    done += count;
  }
  proposals.erase(proposals.begin(), proposals.begin() + static_cast<ptrdiff_t>(done));
}

void Proposals::give_in_turns(raft::RawNode& core, const Standing& standing) {
  for (ProposalPtr& proposal : waiting_) {
    const uint64_t client = proposal->from.client;
    const auto cost = static_cast<uint64_t>(proposal->cost);
    queue_.push(client, cost, std::move(proposal));
  }
  waiting_.clear();
  while (has_room(standing)) {
    uint64_t bytes = 0;
    for (const ProposalPtr& proposal : next_) bytes += proposal->data.size();
    while (!queue_.empty() && next_.size() < kMostTogether && bytes < kMostBytes) {
      bytes += queue_.front()->data.size();
      next_.push_back(queue_.pop());
    }
    if (next_.empty()) return;
    give_in_order(next_, core, standing);
    if (!next_.empty()) return;
  }
}

void Proposals::check_invariants() const {
  CHECK(changing_ != 0 || change_index_ == Index(0));
  CHECK(changing_ == 0 || change_index_ != Index(0) || under_way_.contains(changing_));
  CHECK(!under_way_.contains(0));
  CHECK(in_window_ <= under_way_.size());
  CHECK((in_window_ == 0) == (window_cost_ == 0));
  CHECK(window_term_ != Term(0) || in_window_ == 0);
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

void Proposals::take_note(ProposalPtr proposal, const Standing& standing) {
  CHECK(proposal->id != 0);
  CHECK(!under_way_.contains(proposal->id));
  proposal->data = {};
  proposal->term = standing.leads ? standing.term : Term(0);
  if (standing.leads) enter_window(*proposal);
  deadlines_.emplace_back(proposal->deadline, proposal->id);
  under_way_[proposal->id] = std::move(proposal);
}

void Proposals::enter_window(const Proposal& proposal) {
  if (std::exchange(window_term_, proposal.term) != proposal.term) {
    in_window_ = 0;
    window_cost_ = 0;
  }
  ++in_window_;
  window_cost_ += proposal.cost;
}

void Proposals::leave_window(const Proposal& proposal) {
  if (proposal.term == Term(0) || proposal.term != window_term_) return;
  CHECK(in_window_ > 0);
  --in_window_;
  window_cost_ -= proposal.cost;
  CHECK(window_cost_ >= 0);
}

void Proposals::refuse_outdated(const Standing& standing) {
  auto outdated = [&standing](const ProposalPtr& proposal) {
    return !standing.leads || standing.term != proposal->only_in;
  };
  auto from = std::stable_partition(leaders_.begin(), leaders_.end(),
                                    [&](const ProposalPtr& p) { return !outdated(p); });
  for (auto it = from; it != leaders_.end(); ++it) reply(std::move(*it), errors::LeaderChanged());
  leaders_.erase(from, leaders_.end());
}

ProposalPtr Proposals::take(uint64_t id, Index index) {
  auto it = under_way_.find(id);
  if (it == under_way_.end()) return nullptr;
  ProposalPtr proposal = std::move(it->second);
  under_way_.erase(it);
  CHECK(proposal->id == id);
  leave_window(*proposal);
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
  for (auto* waiting : {&changes_, &leaders_, &waiting_, &next_}) drop_late(*waiting, now, &late);
  queue_.take_if([now](const ProposalPtr& proposal) { return is_late(*proposal, now); }, &late);
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
  std::sort(lost.begin(), lost.end());  // the table's order depends on its addresses
  for (uint64_t id : lost) reply(give_up(id), errors::Timeout());
  check_invariants();
}

void Proposals::fail_all(const absl::Status& status) {
  for (auto* waiting : {&changes_, &leaders_, &waiting_, &next_}) {
    for (ProposalPtr& proposal : *waiting) reply(std::move(proposal), status);
    waiting->clear();
  }
  while (!queue_.empty()) reply(queue_.pop(), status);
  std::vector<ProposalPtr> under_way;
  for (auto& [id, proposal] : under_way_) under_way.push_back(std::move(proposal));
  std::sort(under_way.begin(), under_way.end(),
            [](const ProposalPtr& a, const ProposalPtr& b) { return a->id < b->id; });
  for (ProposalPtr& proposal : under_way) reply(std::move(proposal), status);
  under_way_.clear();
  deadlines_.clear();
  in_window_ = 0;
  window_cost_ = 0;
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
