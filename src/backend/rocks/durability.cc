#include "backend/rocks/durability.h"

#include "backend/rocks/status.h"
#include "base/log.h"
#include "base/text.h"

namespace keelson::backend::rocks {
namespace {

// Past this many unflushed commits every other note is dropped: the durable index then advances in
// coarser steps, which is safe, and memory stays bounded.
constexpr size_t kMostNotes = 8192;

}  // namespace

void Durability::set_listener(std::function<void(Index)> listener) {
  std::lock_guard lock(mutex_);
  listener_ = std::move(listener);
}

void Durability::note_commit(uint64_t sequence, Index index) {
  std::lock_guard lock(mutex_);
  pending_.push_back({sequence, index});
  if (pending_.size() > kMostNotes) thin_out_locked();
}

void Durability::thin_out_locked() {
  size_t kept = 0;
  for (size_t i = 1; i < pending_.size(); i += 2) pending_[kept++] = pending_[i];
  pending_.resize(kept);
}

Index Durability::take_flushed(uint64_t sequence) {
  std::lock_guard lock(mutex_);
  Index last;
  while (!pending_.empty() && pending_.front().sequence <= sequence) {
    last = pending_.front().index;
    pending_.pop_front();
  }
  return last;
}

absl::Status Durability::check_not_older(Index index) const {
  absl::StatusOr<Index> reported = high_water_.load();
  if (!reported.ok()) return reported.status();
  if (index >= *reported) return absl::OkStatus();
  return absl::DataLossError(
      cat("backend: the database is at raft index ", index.value, " but once had ", reported->value,
          " on disk: its files are damaged or incomplete. Remove the member from ",
          "the cluster, clear its data directory and add it again, or restore it from a snapshot"));
}

void Durability::OnFlushCompleted(rocksdb::DB*, const rocksdb::FlushJobInfo& info) {
  if (info.cf_name != meta_family_) return;
  Index advanced = take_flushed(info.largest_seqno);
  if (advanced <= durable_index()) return;
  if (absl::Status s = high_water_.store(advanced); !s.ok()) {
    // Not reported, so the log keeps what it has; the next flush tries again.
    log::warn("backend: durable position not recorded", {{"error", message_of(s)}});
    return;
  }
  std::function<void(Index)> listener;
  {
    std::lock_guard lock(mutex_);
    durable_.store(advanced.value, std::memory_order_release);
    listener = listener_;
  }
  if (listener) listener(advanced);
}

void Durability::OnBackgroundError(rocksdb::BackgroundErrorReason reason, rocksdb::Status* error) {
  absl::Status status = to_status(*error, "background work");
  log::write(log::Level::kError, "backend error", {{"error", std::string(message_of(status))}});
  bool full = absl::IsResourceExhausted(status);
  {
    std::lock_guard lock(mutex_);
    health_ = status;
  }
  // RocksDB would refuse all writes from here on. The changes are safe in the raft log and in the
  // write buffers, so a full disk is no reason to stop: forget the error and flush again later.
  if (full && reason == rocksdb::BackgroundErrorReason::kFlush) {
    *error = rocksdb::Status::OK();
    if (retry_) retry_();
  }
}

void Durability::OnErrorRecoveryCompleted(rocksdb::Status) {
  std::lock_guard lock(mutex_);
  health_ = absl::OkStatus();
}

void Durability::clear_full_disk() {
  std::lock_guard lock(mutex_);
  if (absl::IsResourceExhausted(health_)) health_ = absl::OkStatus();
}

absl::Status Durability::health() const {
  std::lock_guard lock(mutex_);
  return health_;
}

}  // namespace keelson::backend::rocks
