#include "raft/sim/disk.h"

#include <utility>

#include "raft/sim/violation.h"

namespace keelson::raft::sim {

void Disk::start_from(const SnapshotPtr& snapshot, const HardState& state) {
  for (MemoryStorage* on : {&durable_, visible_.get()}) {
    if (!on->apply_snapshot(snapshot).ok()) violated("cannot start from a snapshot");
    on->set_hard_state(state);
  }
  durable_hard_state_ = state;
  visible_hard_state_ = state;
}

void Disk::issue(Message append) { writes_.push_back(std::move(append)); }

void Disk::perform(const Message& write, MemoryStorage* on, HardState* state) {
  if (!write.hard_state().empty()) {
    *state = write.hard_state();
    on->set_hard_state(*state);
  }
  if (!is_empty(write.snapshot)) {
    absl::Status status = on->apply_snapshot(write.snapshot);
    if (!status.ok()) violated("storing a snapshot: ", message_of(status));
  }
  if (write.entries.empty()) return;
  if (write.entries.front().index > *on->last_index() + 1) {
    violated("a gap in the log: ", write.entries.front().index.value, " after ",
             on->last_index()->value);
  }
  on->append(write.entries);
}

std::vector<Message> Disk::write() {
  Message& next = writes_[visible_writes_++];
  perform(next, visible_.get(), &visible_hard_state_);
  if (plant_ != Plant::kAckBeforeDurable) return {};
  return std::exchange(next.responses, {});
}

std::vector<Message> Disk::sync() {
  Message next = std::move(writes_.front());
  writes_.pop_front();
  --visible_writes_;
  if (plant_ == Plant::kVoteNotPersisted && !next.hard_state().empty()) {
    next.vote = kNobody;
  }
  if (plant_ == Plant::kTruncationNotDurable && !next.entries.empty() &&
      next.entries.back().index < *durable_.last_index()) {
    next.entries = {};
  }
  perform(next, &durable_, &durable_hard_state_);
  return std::move(next.responses);
}

void Disk::crash(Random& random) {
  for (uint64_t kept = random.below(visible_writes_ + 1); kept > 0; --kept) sync();
  writes_.clear();
  visible_writes_ = 0;
  visible_ = std::make_unique<MemoryStorage>();
  visible_hard_state_ = durable_hard_state_;
  visible_->set_hard_state(durable_hard_state_);
  const SnapshotPtr snapshot = *durable_.snapshot();
  const Index first = snapshot->metadata.index + 1;
  if (!is_empty(snapshot) && !visible_->apply_snapshot(snapshot).ok()) violated("unreachable");
  const Index last = *durable_.last_index();
  if (last >= first) visible_->append(*durable_.entries(first, last + 1, kNoLimit));
}

bool Disk::snapshot(Index index, const ConfState& conf, Bytes data, Index compact_to) {
  if (index > durable_hard_state_.commit) return false;
  for (MemoryStorage* on : {&durable_, visible_.get()}) {
    if (index > *on->last_index() || index <= (*on->snapshot())->metadata.index) return false;
  }
  for (MemoryStorage* on : {&durable_, visible_.get()}) {
    if (!on->create_snapshot(index, &conf, data).ok()) violated("cannot make a snapshot");
    // Compacted already where a restart has begun the log at a snapshot.
    if (compact_to != Index(0)) on->compact(compact_to).IgnoreError();
  }
  return true;
}

}  // namespace keelson::raft::sim
