#include "backend/rocks/durability.h"

#include <algorithm>

#include "backend/rocks/status.h"
#include "base/check.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"

namespace keelson::backend::rocks {
namespace {

// Past this many unflushed commits every other note is dropped: the durable index then advances in
// coarser steps, which is safe, and memory stays bounded.
constexpr size_t kMostNotes = 8192;

constexpr char kFullDisk[] = "backend: the disk is full; free space";

// RocksDB names the same failure differently for databases without a log.
bool is_flush(rocksdb::BackgroundErrorReason reason) {
  return reason == rocksdb::BackgroundErrorReason::kFlush ||
         reason == rocksdb::BackgroundErrorReason::kFlushNoWAL;
}

// RocksDB chooses the families of such a flush before it locks out the writer: a family may be left
// out that has got a change in the meantime, and a crash would lose the change (docs/rocksdb.md).
bool may_leave_out_a_family(rocksdb::FlushReason reason) {
  return reason == rocksdb::FlushReason::kManualCompaction ||
         reason == rocksdb::FlushReason::kGetLiveFiles ||
         reason == rocksdb::FlushReason::kErrorRecovery ||
         reason == rocksdb::FlushReason::kErrorRecoveryRetryFlush;
}

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

absl::Status Durability::note_log() {
  std::lock_guard one(advancing_);
  if (high_water_.is_there()) return absl::OkStatus();
  return high_water_.store(durable_index());
}

void Durability::OnFlushBegin(rocksdb::DB*, const rocksdb::FlushJobInfo& info) {
  CHECK(!may_leave_out_a_family(info.flush_reason));
  if (info.cf_name == meta_family_) KEELSON_FAILPOINT("backend_flush_begin");
}

void Durability::OnCompactionBegin(rocksdb::DB*, const rocksdb::CompactionJobInfo&) {
  KEELSON_FAILPOINT("backend_merge_begin");
}

void Durability::OnCompactionCompleted(rocksdb::DB*, const rocksdb::CompactionJobInfo&) {
  KEELSON_FAILPOINT("backend_merge_done");
}

void Durability::OnFlushCompleted(rocksdb::DB*, const rocksdb::FlushJobInfo& info) {
  if (info.cf_name != meta_family_) return;
  KEELSON_FAILPOINT("backend_flush_done");
  if (absl::Status s = advance(info.largest_seqno); !s.ok()) {
    log::warn("backend: durable position not recorded", {{"error", message_of(s)}});
  }
}

absl::Status Durability::advance(uint64_t sequence) {
  // One at a time to the end, so that who finds nothing left knows that it has been reported.
  std::lock_guard one(advancing_);
  flushed_ = std::max(flushed_, take_flushed(sequence));
  if (flushed_ <= durable_index()) return absl::OkStatus();
  // On failure not reported, so the log keeps what it has; the next flush tries again.
  const Index advanced = flushed_;
  if (absl::Status s = high_water_.store(advanced); !s.ok()) return s;
  KEELSON_FAILPOINT("backend_durable_recorded");
  std::function<void(Index)> listener;
  {
    std::lock_guard lock(mutex_);
    durable_.store(advanced.value, std::memory_order_release);
    listener = listener_;
  }
  if (listener) listener(advanced);
  return absl::OkStatus();
}

void Durability::OnBackgroundError(rocksdb::BackgroundErrorReason reason, rocksdb::Status* error) {
  absl::Status status = to_status(*error, "background work");
  log::write(log::Level::kError, "backend error", {{"error", std::string(message_of(status))}});
  bool full = absl::IsResourceExhausted(status);
  // A merge that was given up for lack of space is started again by RocksDB; as long as flushes get
  // through, the store is not full.
  if (full && reason == rocksdb::BackgroundErrorReason::kCompaction) {
    *error = rocksdb::Status::OK();
    return;
  }
  set_health(std::move(status));
  // RocksDB would refuse all writes from here on. The changes are safe in the raft log and in the
  // write buffers, so a full disk is no reason to stop: forget the error and flush again later.
  // At the end nobody flushes again: a waiter for the forgotten flush would wait for ever.
  if (full && is_flush(reason) && patient_) {
    *error = rocksdb::Status::OK();
    if (retry_) retry_();
  }
}

// From a lack of space RocksDB would recover by itself, whatever the options say, as soon as the
// disk says that it has some (of a quota it never says anything else): by a flush that may leave
// out a family. It only hears of a lack that nobody waits for any more, at the end of a store.
void Durability::OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason, rocksdb::Status,
                                      bool* auto_recovery) {
  *auto_recovery = false;
}

void Durability::OnTableFileCreationStarted(const rocksdb::TableFileCreationBriefInfo& info) {
  if (merge_output_ && info.reason == rocksdb::TableFileCreationReason::kCompaction) {
    merge_output_(info.file_path);
  }
}

void Durability::OnErrorRecoveryCompleted(rocksdb::Status) { set_health(absl::OkStatus()); }

void Durability::clear_full_disk() {
  std::lock_guard one(telling_);
  waiting_ = false;
  clear_full_disk_locked();
}

void Durability::clear_full_disk_locked() {
  if (waiting_ || short_) return;
  if (absl::IsResourceExhausted(health())) tell_health(absl::OkStatus());
}

void Durability::report_damage(absl::Status damage) {
  log::error("backend: damaged", {{"error", message_of(damage)}});
  set_health(std::move(damage));
}

void Durability::waiting(bool full) {
  if (full) {
    log::error("backend: no space left for the store: refusing writes until there is");
  } else {
    log::info("backend: the store has space again");
  }
  std::lock_guard one(telling_);
  waiting_ = full;
  if (full) return tell_health(absl::ResourceExhaustedError(kFullDisk));
  clear_full_disk_locked();
}

void Durability::space_short(bool is_short) {
  std::lock_guard one(telling_);
  CHECK(short_ != is_short);
  short_ = is_short;
  if (!is_short) return clear_full_disk_locked();
  if (health().ok()) tell_health(absl::ResourceExhaustedError(kFullDisk));
}

bool Durability::may_flush() const {
  const absl::Status now = health();
  return now.ok() || (absl::IsResourceExhausted(now) && short_ && !waiting_);
}

void Durability::set_health(absl::Status health) {
  std::lock_guard one(telling_);
  tell_health(std::move(health));
}

void Durability::tell_health(absl::Status health) {
  std::function<void(const absl::Status&)> listener;
  {
    std::lock_guard lock(mutex_);
    health_ = health;
    listener = health_listener_;
  }
  if (listener) listener(health);
}

void Durability::set_health_listener(std::function<void(const absl::Status&)> listener) {
  std::lock_guard lock(mutex_);
  health_listener_ = std::move(listener);
}

absl::Status Durability::health() const {
  std::lock_guard lock(mutex_);
  return health_;
}

}  // namespace keelson::backend::rocks
