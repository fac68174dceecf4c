#include "node/log_storage.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "base/check.h"

namespace keelson::node {

absl::StatusOr<raft::Storage::InitialState> LogStorage::initial_state() {
  absl::StatusOr<InitialState> state = log_.initial_state();
  if (state.ok()) state->conf_state = conf_;
  return state;
}

absl::Status LogStorage::start_behind(Index index, Term term) {
  CHECK(index > Index(0));
  CHECK(ends_.empty());
  auto snapshot = std::make_shared<raft::Snapshot>();
  snapshot->metadata = {conf_, index, term};
  if (absl::Status s = log_.apply_snapshot(snapshot); !s.ok()) return s;
  behind_ = index;
  check_invariants();
  return absl::OkStatus();
}

absl::Status LogStorage::start_over(Index index, Term term, raft::ConfState conf) {
  CHECK(index > behind_);
  const raft::HardState state = log_.initial_state()->hard_state;
  log_ = raft::MemoryStorage();
  log_.set_hard_state(state);
  ends_.clear();
  forgotten_ = 0;
  conf_ = std::move(conf);
  return start_behind(index, term);
}

absl::StatusOr<raft::SnapshotPtr> LogStorage::snapshot() {
  if (!applied_) return log_.snapshot();
  std::optional<raft::SnapshotMetadata> metadata = applied_();
  if (!metadata) return raft::snapshot_temporarily_unavailable_error();
  auto snapshot = std::make_shared<raft::Snapshot>();
  snapshot->metadata = *std::move(metadata);
  return snapshot;
}

void LogStorage::append(const raft::Entries& entries) {
  log_.append(entries);
  for (const raft::Entry& entry : entries) {
    if (entry.index <= behind_) continue;
    const size_t place = entry.index - behind_ - 1;
    CHECK(place <= ends_.size());
    ends_.resize(place);
    ends_.push_back((ends_.empty() ? forgotten_ : ends_.back()) + size_of(entry));
  }
  check_invariants();
}

uint64_t LogStorage::end_of(Index index) const {
  CHECK(index >= behind_);
  CHECK(index <= last());
  return index == behind_ ? forgotten_ : ends_[index - behind_ - 1];
}

void LogStorage::trim(Index applied, Keep keep) {
  CHECK(applied <= last());
  if (applied <= behind_) return;
  const uint64_t end = end_of(applied);
  if (applied - behind_ <= 2 * keep.entries && end - forgotten_ <= 2 * keep.bytes) return;
  // The first entry from which on all that is applied is within keep.bytes.
  const auto last_applied = ends_.begin() + static_cast<ptrdiff_t>(applied - behind_);
  const uint64_t least = end - std::min(end, keep.bytes);
  const auto kept = std::lower_bound(ends_.begin(), last_applied, least);
  uint64_t drop = static_cast<uint64_t>(kept - ends_.begin()) + (forgotten_ < least ? 1 : 0);
  drop = std::min(drop, applied - behind_);
  if (applied - behind_ > keep.entries) drop = std::max(drop, applied - behind_ - keep.entries);
  if (drop == 0) return;
  CHECK(log_.compact(behind_ + drop).ok());
  forgotten_ = end_of(behind_ + drop);
  ends_.erase(ends_.begin(), ends_.begin() + static_cast<ptrdiff_t>(drop));
  behind_ = behind_ + drop;
  check_invariants();
}

void LogStorage::check_invariants() {
  CHECK(*log_.first_index() == first());
  CHECK(*log_.last_index() == last());
  CHECK(first() <= last() + 1);
  CHECK(ends_.empty() || ends_.front() <= ends_.back());
  CHECK(ends_.empty() || forgotten_ <= ends_.front());
}

}  // namespace keelson::node
