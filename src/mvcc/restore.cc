// Rebuilding the index from the backend: one walk over the heads of the key bucket in order of
// revision (on a thread of its own), records found by a hash table, then sorted once and built into
// a tree bottom-up. Values stay where they are.
// Source of the rules for the revisions: etcd v3.7.1, server/storage/mvcc/kvstore.go (restore).

#include <algorithm>
#include <thread>

#include "base/check.h"
#include "base/log.h"
#include "base/text.h"
#include "mvcc/record_table.h"
#include "mvcc/restore_rows.h"
#include "mvcc/revision_key.h"
#include "mvcc/store_impl.h"

namespace keelson::mvcc {
namespace {

using backend::Bucket;

// How often memory that fell free is given back.
constexpr size_t kTidyEvery = 4096;
// Sorting is shared by two threads from here on.
constexpr size_t kSortByTwo = 20000;

absl::StatusOr<std::optional<int64_t>> meta_revision(const backend::Backend& backend,
                                                     std::string_view key) {
  absl::StatusOr<std::optional<Bytes>> found = backend.get(Bucket::kMeta, key);
  if (!found.ok()) return found.status();
  if (!*found) return std::optional<int64_t>();
  ParsedRevision at;
  if (!parse_revision_key(**found, &at))
    return damaged_database(cat("meta record ", key, " does not parse"));
  return std::optional<int64_t>(at.revision.main);
}

// Sorts by the 8 bytes behind the keys' common prefix first: most comparisons then touch no key.
void sort_by_key(std::vector<KeyRecord*>* records) {
  if (records->size() < 2) return;
  std::string_view first = records->front()->key();
  size_t prefix = first.size();
  for (const KeyRecord* record : *records) {
    std::string_view key = record->key();
    size_t n = std::min(prefix, key.size());
    if (std::memcmp(key.data(), first.data(), n) == 0) {
      prefix = n;
      continue;
    }
    prefix = static_cast<size_t>(
        std::mismatch(key.begin(), key.begin() + static_cast<ptrdiff_t>(n), first.begin()).first -
        key.begin());
  }
  struct Entry {
    uint64_t head;
    uint64_t next;
    KeyRecord* record;
  };
  std::vector<Entry> entries;
  entries.reserve(records->size());
  for (KeyRecord* record : *records) {
    entries.push_back(
        {key_head(record->key(), prefix), key_head(record->key(), prefix + 8), record});
  }
  auto less = [](const Entry& a, const Entry& b) {
    if (a.head != b.head) return a.head < b.head;
    if (a.next != b.next) return a.next < b.next;
    return a.record->key() < b.record->key();
  };
  auto middle = entries.begin() + static_cast<ptrdiff_t>(entries.size() / 2);
  if (entries.size() >= kSortByTwo) {
    std::thread other([&] { std::sort(entries.begin(), middle, less); });
    std::sort(middle, entries.end(), less);
    other.join();
    std::inplace_merge(entries.begin(), middle, entries.end(), less);
  } else {
    std::sort(entries.begin(), entries.end(), less);
  }
  for (size_t i = 0; i < entries.size(); ++i) (*records)[i] = entries[i].record;
}

}  // namespace

class Restorer {
 public:
  explicit Restorer(StoreImpl* store) : s_(*store) {}
  ~Restorer() {
    // Only after an error: what is not in the tree belongs to nobody else.
    for (KeyRecord* record : loose_.take()) s_.free_record(record);
  }

  absl::Status run() {
    absl::StatusOr<std::optional<int64_t>> finished =
        meta_revision(*s_.backend_, kFinishedCompactKey);
    if (!finished.ok()) return finished.status();
    absl::StatusOr<std::optional<int64_t>> scheduled =
        meta_revision(*s_.backend_, kScheduledCompactKey);
    if (!scheduled.ok()) return scheduled.status();
    s_.compact_revision_ = finished->value_or(-1);
    if (*scheduled && **scheduled > s_.compact_revision_) {
      s_.compact_revision_ = **scheduled;
      s_.compacting_ = true;
      log::info("resume scheduled compaction", {{"scheduled-compact-revision", **scheduled}});
    }
    // All births and deaths beyond the compact revision are in the bucket.
    s_.ring_ = std::make_unique<LivenessRing>(s_.options_.liveness_ring, s_.compact_revision_);
    if (absl::Status s = load(); !s.ok()) return s;

    std::vector<KeyRecord*> records = loose_.take();
    sort_by_key(&records);
    s_.tree_.build(records);
    for (KeyRecord* record : records) {
      if (record->lease == 0) continue;
      s_.restored_leases_.emplace_back(std::string(record->key()), LeaseId(record->lease));
    }
    // The newest revisions may have been tombstones that a compaction has removed.
    s_.revision_ = std::max(newest_, s_.compact_revision_);
    return absl::OkStatus();
  }

 private:
  absl::Status load() {
    RowReader reader(*s_.backend_);
    RowBatch batch;
    size_t untidy = 0;
    while (true) {
      if (absl::Status s = reader.next(&batch); !s.ok() || batch.rows.empty()) {
        s_.epochs_.advance();
        return s;
      }
      const std::vector<Row>& rows = batch.rows;
      // Nearly every look-up misses the caches twice; a batch's misses overlap.
      for (const Row& row : rows) loose_.prefetch_slot(row.hash);
      for (const Row& row : rows) loose_.prefetch_record(row.hash);
      for (const Row& row : rows) add(row);
      newest_ = rows.back().at.revision.main;
      untidy += rows.size();
      if (untidy < kTidyEvery) continue;
      untidy = 0;
      s_.epochs_.advance();
    }
  }

  void add(const Row& row) {
    const ParsedRevision& at = row.at;
    const RowHead& kv = row.head;
    KeyRecord* record = loose_.find(row.hash, kv.key);
    Version* old = record ? record->head.load(std::memory_order_relaxed) : nullptr;
    bool alive = old && !old->tombstone();
    // Two tombstones in a row are left by a compaction that was cut short; both will go.
    if (!record) {
      record = s_.new_record(kv.key);
      loose_.insert(row.hash, record);
    }
    // A size of 0 says tombstone; the record of a raised revision has none either.
    const uint32_t size = at.tombstone ? 0 : std::max<uint32_t>(kv.size, 1);
    Version* version = s_.new_version(old, at.revision, size);
    record->head.store(version, std::memory_order_relaxed);
    record->lease = at.tombstone ? 0 : kv.lease;
    if (!at.tombstone) {
      record->create.store(kv.create_revision, std::memory_order_relaxed);
      record->version.store(kv.version, std::memory_order_relaxed);
    }
    if (alive == at.tombstone) s_.ring_->push(at.revision.main, record, !at.tombstone);
    if (alive || at.tombstone) s_.add_garbage(at.revision.main, record, old);
  }

  StoreImpl& s_;
  RecordTable loose_;
  int64_t newest_ = 1;
};

absl::Status StoreImpl::restore() {
  if (absl::Status s = Restorer(this).run(); !s.ok()) return s;
  backend_->set_live_bytes(live_bytes_);
  publish_root();
  return absl::OkStatus();
}

}  // namespace keelson::mvcc
