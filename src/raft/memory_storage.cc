#include "raft/memory_storage.h"

#include <memory>
#include <utility>

#include "base/check.h"

namespace keelson::raft {

MemoryStorage::MemoryStorage() : snapshot_(std::make_shared<Snapshot>()) {}

absl::StatusOr<Storage::InitialState> MemoryStorage::initial_state() {
  return InitialState{hard_state_, snapshot_->metadata.conf_state};
}

absl::StatusOr<Entries> MemoryStorage::entries(Index lo, Index hi, uint64_t max_size) {
  if (lo <= dummy_index_) return compacted_error();
  CHECK(lo <= hi);
  CHECK(hi <= last() + 1);
  if (log_.empty()) return unavailable_error();
  const size_t from = lo - dummy_index_ - 1;
  return log_.slice(from, count_within(log_.view().subspan(from, hi - lo), max_size));
}

absl::StatusOr<Term> MemoryStorage::term(Index index) {
  // Codes alone: raft asks about such indexes often, and a text would be an allocation.
  if (index < dummy_index_) return absl::Status(absl::StatusCode::kOutOfRange, "");
  if (index > last()) return absl::Status(absl::StatusCode::kNotFound, "");
  if (index == dummy_index_) return dummy_term_;
  return log_[index - dummy_index_ - 1].term;
}

absl::StatusOr<Index> MemoryStorage::first_index() { return dummy_index_ + 1; }

absl::StatusOr<Index> MemoryStorage::last_index() { return last(); }

absl::StatusOr<SnapshotPtr> MemoryStorage::snapshot() { return snapshot_; }

void MemoryStorage::append(const Entries& entries) {
  if (entries.empty()) return;
  std::span<const Entry> news = entries;
  if (news.back().index <= dummy_index_) return;
  if (news.front().index <= dummy_index_) {
    news = news.subspan(dummy_index_ + 1 - news.front().index);
  }
  const size_t kept = news.front().index - dummy_index_ - 1;
  CHECK(kept <= log_.size());
  log_.truncate(kept);
  log_.append(news);
}

absl::Status MemoryStorage::apply_snapshot(const SnapshotPtr& snapshot) {
  const SnapshotMetadata& meta = snapshot->metadata;
  const Index ours = snapshot_->metadata.index;
  // A new member may start from a snapshot with a ConfState alone, at index 0.
  if (ours != Index(0) && ours >= meta.index) return snapshot_out_of_date_error();
  snapshot_ = snapshot;
  dummy_index_ = meta.index;
  dummy_term_ = meta.term;
  log_.clear();
  return absl::OkStatus();
}

absl::StatusOr<SnapshotPtr> MemoryStorage::create_snapshot(Index index, const ConfState* conf_state,
                                                           Bytes data) {
  if (index <= snapshot_->metadata.index) return snapshot_out_of_date_error();
  absl::StatusOr<Term> at = term(index);
  CHECK(at.ok());
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->data = std::move(data);
  snapshot->metadata = {conf_state ? *conf_state : snapshot_->metadata.conf_state, index, *at};
  snapshot_ = snapshot;
  return snapshot_;
}

absl::Status MemoryStorage::compact(Index index) {
  if (index <= dummy_index_) return compacted_error();
  CHECK(index <= last());
  dummy_term_ = *term(index);
  EntryBuffer rest;
  rest.append(log_.view().subspan(index - dummy_index_));
  log_ = std::move(rest);
  dummy_index_ = index;
  return absl::OkStatus();
}

}  // namespace keelson::raft
