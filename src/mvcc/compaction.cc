// Compaction in slices. What goes away is exactly what etcd v3.7.1 removes (server/storage/mvcc,
// key_index.go, kvstore_compaction.go): of each key all versions older than the newest one at or
// below the compact revision, and that one too if it is a tombstone below (not at) the compact
// revision.

#include "base/check.h"
#include "base/errors.h"
#include "base/failpoint.h"
#include "mvcc/compaction_hash.h"
#include "mvcc/revision_key.h"
#include "mvcc/store_impl.h"

namespace keelson::mvcc {
namespace {

using backend::Bucket;

// Chains longer than this are remembered, so that their next entries cost nothing.
constexpr int kLongChain = 16;

}  // namespace

absl::Status StoreImpl::compact(int64_t revision) {
  CHECK(!in_txn_);
  if (revision <= compact_revision_) return errors::Compacted();
  if (revision > revision_) return errors::FutureRev();
  // etcd stores a hash only if the compaction before was complete.
  drop_compaction_hash();
  hash_plan_.reset();
  if (!compacting_) hash_plan_ = HashPlan{compact_revision_, revision};
  compact_revision_ = revision;
  CHECK(root()->compact_revision < compact_revision_);
  CHECK(compact_revision_ <= revision_);
  compacting_ = true;
  readers_left_ = false;
  trimmed_.clear();
  batch_.put(Bucket::kMeta, kScheduledCompactKey, RevisionKey({revision, 0}).view());
  KEELSON_FAILPOINT("mvcc_compact_scheduled");
  return absl::OkStatus();
}

std::optional<StoreImpl::Deferred> StoreImpl::next_garbage() {
  if (!deferred_.empty() && deferred_.front().main < compact_revision_) {
    Deferred entry = deferred_.front();
    deferred_.pop_front();
    return entry;
  }
  if (garbage_.empty()) return std::nullopt;
  int64_t main = garbage_.front_main();
  if (main > compact_revision_) return std::nullopt;
  return Deferred{main, garbage_.pop()};
}

// Nothing goes before the compact revision is published, for then no read below it can begin; and
// not before the last of those that had begun is done: what a read found in range when it started,
// it finds to its end.
bool StoreImpl::readers_have_left() {
  if (readers_left_) return true;
  if (published_compact_revision_.load(std::memory_order_relaxed) < compact_revision_) return false;
  readers_left_ = epochs_.lowest_pin() >= compact_revision_;
  return readers_left_;
}

bool StoreImpl::compaction_held() {
  if (!compacting_) return false;
  return !readers_have_left() || (hash_hold_ && hash_hold_->held());
}

uint64_t StoreImpl::compaction_debt() const {
  return compacting_ ? garbage_.due(compact_revision_) : 0;
}

bool StoreImpl::compact_step(size_t max_work) {
  CHECK(!in_txn_);
  if (!compacting_) return false;
  if (compaction_held()) return true;
  KEELSON_FAILPOINT("mvcc_compact_step");
  hash_plan_.reset();
  hash_hold_.reset();
  CHECK(root()->compact_revision == compact_revision_);
  ring_->forget_up_to(compact_revision_);
  size_t work = 0;
  while (work < max_work) {
    if (!free_detached(&work, max_work)) return true;
    std::optional<Deferred> entry = next_garbage();
    if (!entry) {
      batch_.put(Bucket::kMeta, kFinishedCompactKey, RevisionKey({compact_revision_, 0}).view());
      CHECK(detached_ == nullptr);
      CHECK(garbage_.empty() || garbage_.front_main() > compact_revision_);
      CHECK(deferred_.empty() || deferred_.front().main >= compact_revision_);
      trimmed_.clear();
      compacting_ = false;
      KEELSON_FAILPOINT("mvcc_compact_finished");
      return false;
    }
    work += trim(*entry);
  }
  return true;
}

size_t StoreImpl::trim(const Deferred& entry) {
  KeyRecord* record = entry.record;
  auto known = trimmed_.find(record);
  if (known != trimmed_.end() && known->second.tombstone_main != entry.main) return 1;

  // The newest version that a reader at the compact revision sees; all behind it goes.
  int steps = 0;
  Version* newer = nullptr;
  Version* kept = record->head.load(std::memory_order_relaxed);
  while (kept && kept->main > compact_revision_) {
    newer = kept;
    kept = kept->prev.load(std::memory_order_relaxed);
    ++steps;
  }
  if (!kept) return 1;
  CHECK(detached_ == nullptr);
  detached_ = kept->prev.exchange(nullptr, std::memory_order_acq_rel);

  bool last_entry = kept->tombstone() && kept->main == entry.main;
  if (steps > kLongChain) trimmed_[record] = {kept->tombstone() ? kept->main : 0};
  if (!last_entry) return 1;
  // A tombstone goes last: were it gone from the backend while older versions are still there, a
  // restart would bring the key back to life.
  if (detached_ && kept->main < compact_revision_) {
    deferred_.push_front(entry);
    return 1;
  }
  trimmed_.erase(record);
  if (kept->main == compact_revision_) {
    CHECK(deferred_.empty() || deferred_.back().main <= entry.main);
    deferred_.push_back(entry);
    return 1;
  }
  if (newer) {
    newer->prev.store(nullptr, std::memory_order_release);
    delete_version(kept);
  } else {
    remove_tombstone(record, kept);
  }
  return 2;
}

// The key's only version is a tombstone that no one can see any more: the key goes.
void StoreImpl::remove_tombstone(KeyRecord* record, Version* tombstone) {
  tree_.remove(record->key());
  cache_.forget(record);
  delete_version(tombstone);
  epochs_.retire_piece(record, KeyRecord::bytes_for(record->key_size));
}

// Frees what was cut off, as far as the work goes; false: there is more.
bool StoreImpl::free_detached(size_t* work, size_t max_work) {
  while (detached_) {
    if (*work >= max_work) return false;
    Version* version = detached_;
    detached_ = version->prev.load(std::memory_order_relaxed);
    delete_version(version);
    ++*work;
  }
  return true;
}

void StoreImpl::delete_version(const Version* version) {
  auto* gone = const_cast<Version*>(version);
  batch_.del(Bucket::kKey, RevisionKey(gone->revision(), gone->tombstone()).view());
  cache_.drop(gone);
  CHECK(live_bytes_ >= stored_bytes(*gone));
  live_bytes_ -= stored_bytes(*gone);
  epochs_.retire_piece(gone, sizeof(Version));
  ++compacted_;
}

}  // namespace keelson::mvcc
