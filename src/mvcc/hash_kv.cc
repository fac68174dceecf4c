// HashKV in slices.
//
// etcd hashes (CRC-32C) the bucket's name and then key and value of every record of the key bucket
// up to the revision, but of the records at or below its compact revision only those that a
// compaction at the hash revision would keep; if that would keep nothing at all, every one of them;
// and never a tombstone at exactly the compact revision.
// Source: etcd v3.7.1, server/storage/mvcc/hash.go, key_index.go (keep).

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "base/crc32c.h"
#include "base/errors.h"
#include "mvcc/key_tree_view.h"
#include "mvcc/revision_key.h"
#include "mvcc/store_impl.h"

namespace keelson::mvcc {
namespace {

using backend::Bucket;

constexpr size_t kStoredHashes = 10;
constexpr size_t kSectionKeys = 2048;
// A slice ends early when it has seen this much.
constexpr size_t kSliceBytes = 1 << 20;

struct Plan {
  int64_t compact_revision;
  int64_t revision;
  int64_t current_revision;
  // The snapshot has nothing left that the compaction at compact_revision removes.
  bool complete;
};

struct RevisionHash {
  size_t operator()(const Revision& r) const { return absl::HashOf(r.main, r.sub); }
};

class Job final : public HashKvJob {
 public:
  // `held`: the compact revision, until the index is walked.
  Job(std::shared_ptr<const StoreImpl> store, std::unique_ptr<OwnSlot> slot, RevisionPin held,
      std::shared_ptr<const backend::Snapshot> snapshot, Plan plan)
      : store_(std::move(store)),
        slot_(std::move(slot)),
        held_(std::move(held)),
        snapshot_(std::move(snapshot)),
        plan_(plan) {
    crc_ = crc32c::extend(0, backend::bucket_name(Bucket::kKey));
    // Without a compaction there is nothing to leave out.
    walked_ = plan_.compact_revision < 0;
    if (walked_) held_.release();
  }

  absl::StatusOr<bool> step(size_t max_records) override {
    if (done_) return true;
    if (!walked_) {
      walk_index(max_records);
      return false;
    }
    if (absl::Status s = hash_records(max_records); !s.ok()) return s;
    return done_;
  }

  KvHash result() const override {
    return {crc_, plan_.compact_revision, plan_.revision, plan_.current_revision};
  }

 private:
  // Notes which revisions at or below the compact revision stay.
  void walk_index(size_t max_keys) {
    while (!walked_ && max_keys > 0) {
      size_t n = std::min(max_keys, kSectionKeys);
      max_keys -= n;
      EpochSection section(store_->epochs(), slot_->get());
      walk_section(store_->current(slot_->get()), n);
    }
    if (walked_) held_.release();
  }

  void walk_section(const Root& root, size_t n) {
    TreeCursor cursor(root.tree);
    cursor.seek(resume_);
    if (cursor.valid() && !resume_.empty() && cursor.record()->key() == resume_) cursor.next();
    KeyRecord* last = nullptr;
    for (; n > 0 && cursor.valid(); --n, cursor.next()) note(last = cursor.record());
    walked_ = !cursor.valid();
    if (last) resume_.assign(last->key());
  }

  void note(const KeyRecord* record) {
    const Version* seen = record->newest_at(plan_.revision);
    if (seen && seen->tombstone()) seen = nullptr;
    if (seen) anything_kept_ = true;
    if (seen && seen->main <= plan_.compact_revision) stays_[seen->revision()] = true;
    if (plan_.complete) return;
    const Version* base = record->visible(plan_.compact_revision);
    if (base) stays_.try_emplace(base->revision(), false);
  }

  absl::Status hash_records(size_t max_records) {
    if (!it_) {
      it_ =
          snapshot_->iterate(Bucket::kKey, {.upper = RevisionKey({plan_.revision + 1, 0}).view()});
      it_->seek_to_first();
    }
    size_t bytes = 0;
    for (; it_->valid() && max_records > 0 && bytes < kSliceBytes; it_->next(), --max_records) {
      bytes += it_->value().size();
      ParsedRevision at;
      if (!parse_revision_key(it_->key(), &at)) {
        return absl::DataLossError("mvcc: a revision in the key bucket does not parse");
      }
      if (!counts(at)) continue;
      crc_ = crc32c::extend(crc_, it_->key());
      crc_ = crc32c::extend(crc_, it_->value());
    }
    if (it_->valid()) return absl::OkStatus();
    if (!it_->status().ok()) return it_->status();
    it_.reset();
    snapshot_.reset();
    done_ = true;
    return absl::OkStatus();
  }

  bool counts(const ParsedRevision& at) const {
    if (at.revision.main > plan_.compact_revision) return true;
    if (at.revision.main == plan_.compact_revision && at.tombstone) return false;
    if (!anything_kept_ && plan_.complete) return true;
    auto it = stays_.find(at.revision);
    if (it == stays_.end()) return false;
    return !anything_kept_ || it->second;
  }

  const std::shared_ptr<const StoreImpl> store_;
  const std::unique_ptr<OwnSlot> slot_;
  RevisionPin held_;
  std::shared_ptr<const backend::Snapshot> snapshot_;
  std::unique_ptr<backend::Iterator> it_;
  const Plan plan_;
  bool walked_ = false;
  bool done_ = false;
  std::string resume_;
  bool anything_kept_ = false;
  // Revisions <= compact_revision that the compaction there leaves; true: one at `revision` too.
  absl::flat_hash_map<Revision, bool, RevisionHash> stays_;
  uint32_t crc_;
};

// A hash that is known already.
class StoredHash final : public HashKvJob {
 public:
  explicit StoredHash(KvHash hash) : hash_(hash) {}
  absl::StatusOr<bool> step(size_t) override { return true; }
  KvHash result() const override { return hash_; }

 private:
  KvHash hash_;
};

absl::StatusOr<bool> finished(const backend::Snapshot& snapshot, int64_t compact_revision) {
  absl::StatusOr<std::optional<Bytes>> found = snapshot.get(Bucket::kMeta, kFinishedCompactKey);
  if (!found.ok()) return found.status();
  ParsedRevision at;
  return *found && parse_revision_key(**found, &at) && at.revision.main == compact_revision;
}

}  // namespace

void HashStorage::store(const KvHash& hash) {
  std::lock_guard lock(mutex_);
  auto place = std::find_if(hashes_.begin(), hashes_.end(), [&](const KvHash& other) {
    return other.hash_revision > hash.hash_revision;
  });
  hashes_.insert(place, hash);
  if (hashes_.size() > kStoredHashes) hashes_.erase(hashes_.begin());
}

std::optional<KvHash> HashStorage::find(int64_t revision) const {
  std::lock_guard lock(mutex_);
  for (const KvHash& hash : hashes_) {
    if (hash.hash_revision == revision) return hash;
  }
  return std::nullopt;
}

std::vector<KvHash> HashStorage::all() const {
  std::lock_guard lock(mutex_);
  return hashes_;
}

absl::StatusOr<std::unique_ptr<HashKvJob>> StoreImpl::hash_kv(int64_t revision) const {
  if (std::optional<KvHash> known = hashes.find(revision)) {
    known->current_revision = published_revision();
    return std::make_unique<StoredHash>(*known);
  }
  auto slot = std::make_unique<OwnSlot>(epochs_);
  auto published = [&] {
    EpochSection section(epochs_, slot->get());
    return *root();
  };
  while (true) {
    Root now = published();
    if (revision > 0 && revision < now.compact_revision) return errors::Compacted();
    if (revision > now.revision) return errors::FutureRev();
    // Nothing is that old, but etcd hashes it all the same.
    if (revision < 0) {
      return std::make_unique<StoredHash>(KvHash{
          .hash = crc32c::extend(0, backend::bucket_name(Bucket::kKey)),
          .compact_revision = now.compact_revision,
          .hash_revision = revision,
          .current_revision = now.revision,
      });
    }
    // The snapshot may be newer than `now`, but nothing that a later compaction removes is missing.
    RevisionPin held;
    if (!pin(slot->get(), now.compact_revision, &held)) continue;
    std::shared_ptr<const backend::Snapshot> snapshot = backend_->snapshot();
    absl::StatusOr<bool> complete = finished(*snapshot, now.compact_revision);
    if (!complete.ok()) return complete.status();
    Plan plan{.compact_revision = now.compact_revision,
              .revision = revision > 0 ? revision : now.revision,
              .current_revision = now.revision,
              .complete = *complete};
    return std::make_unique<Job>(shared_from_this(), std::move(slot), std::move(held),
                                 std::move(snapshot), plan);
  }
}

}  // namespace keelson::mvcc
