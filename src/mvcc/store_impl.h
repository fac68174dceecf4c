// mvcc/store_impl.h
//
// The insides of Store, shared by the files that each hold one subject: write_txn.cc, range.cc,
// publish.cc, compaction.cc, compaction_hash.cc, read_back.cc, restore.cc, history.cc, hash_kv.cc.
//
// Two views of the index exist. The working one (tree_, revision_, compact_revision_) is the
// writer's. The published one (Root) is what readers load; publish() makes the one from the other.
//
// Invariants, checked by check_invariants():
//   root.revision <= revision_;  root.compact_revision <= compact_revision_ <= revision_
//   every record has a version; a record's versions strictly descend by (main, sub)
//   a version without a value in memory is in the backend
//   per record and main there is at most one entry in garbage_, and there is one for every main
//   that superseded a version or is a tombstone and is not compacted yet

#pragma once

#include <algorithm>
#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "backend/backend.h"
#include "base/key_range.h"
#include "mvcc/epoch.h"
#include "mvcc/garbage_queue.h"
#include "mvcc/key_tree.h"
#include "mvcc/liveness_ring.h"
#include "mvcc/record.h"
#include "mvcc/slab.h"
#include "mvcc/store.h"
#include "mvcc/value_cache.h"

namespace keelson::mvcc {

// What one read works on: a tree and the revision it is the newest state of.
struct Root {
  const TreeNode* tree = nullptr;
  int64_t revision = 1;
  int64_t compact_revision = -1;
  uint64_t flips_end = 0;
};

inline constexpr std::string_view kScheduledCompactKey = "scheduledCompactRev";
inline constexpr std::string_view kFinishedCompactKey = "finishedCompactRev";

// Hashes that compactions left behind; etcd keeps ten.
class HashStorage {
 public:
  void store(const KvHash& hash);
  std::optional<KvHash> find(int64_t revision) const;
  std::vector<KvHash> all() const;

 private:
  mutable std::mutex mutex_;  // off every hot path
  std::vector<KvHash> hashes_;
};

class CompactionHold;
class Restorer;

class StoreImpl : public std::enable_shared_from_this<StoreImpl> {
 public:
  StoreImpl(backend::Backend* backend, StoreOptions options);
  ~StoreImpl();

  absl::Status restore();  // restore.cc
  std::vector<std::pair<std::string, LeaseId>> take_restored_leases() {
    return std::move(restored_leases_);
  }

  // ---- readers ----
  Epochs& epochs() { return epochs_; }
  const Epochs& epochs() const { return epochs_; }
  const Root* root() const { return root_.load(std::memory_order_seq_cst); }
  int64_t published_revision() const { return published_revision_.load(std::memory_order_acquire); }
  int64_t published_compact_revision() const {
    return published_compact_revision_.load(std::memory_order_seq_cst);
  }
  // The compaction up to here is done and committed; -1: none was since the start.
  int64_t published_finished_revision() const {
    return published_finished_revision_.load(std::memory_order_acquire);
  }
  int64_t published_keys() const { return published_keys_.load(std::memory_order_relaxed); }
  uint64_t published_compacted() const {
    return published_compacted_.load(std::memory_order_relaxed);
  }
  // Of all HeldRanges that live, beside their values. [any]
  std::atomic<uint64_t>& held_bytes() const { return held_bytes_; }
  // Keeps what is visible at `revision` from being compacted away until the pin goes. False: a
  // compaction has passed the revision. `slot` null: the writer itself, who needs no pin.
  bool pin(Epochs::Slot* slot, int64_t revision, RevisionPin* pin) const;

  // A read at `at` (the revision of a view or a transaction), which the caller has pinned. `slot`
  // null: the writer's own, on the working tree; `bounds` null: none.
  absl::StatusOr<RangeResult> range(Epochs::Slot* slot, int64_t at, const KeyRange& keys,
                                    const RangeOptions& options, ReadBounds* bounds) const;
  absl::StatusOr<std::optional<Bytes>> get(Epochs::Slot* slot, int64_t at,
                                           std::string_view key) const;
  absl::StatusOr<History> history(Epochs::Slot* slot, int64_t from, int64_t to,
                                  size_t max_bytes) const;
  absl::StatusOr<Bytes> previous_kv(Epochs::Slot* slot, const Event& event) const;
  std::optional<Bytes> previous_kv_in_memory(Epochs::Slot* slot, const Event& event) const;
  absl::StatusOr<std::shared_ptr<HeldRange>> hold_previous(Epochs::Slot* slot,
                                                           std::span<const Event> events) const;
  absl::StatusOr<std::unique_ptr<HashKvJob>> hash_kv(int64_t revision) const;

  // What a read in this section works on.
  Root current(Epochs::Slot* slot) const;
  // Reads KeyValues back by revision. REQUIRES: whoever asks has pinned a revision at which they
  // are visible. kDataLoss: one is missing, does not parse or is another's.
  absl::StatusOr<Bytes> read_back(Revision revision) const;
  absl::StatusOr<std::vector<Bytes>> read_back(std::span<const Revision> revisions) const;
  // The same without waiting for a disk: false when that would be needed.
  absl::StatusOr<bool> read_back_in_memory(std::span<const Revision> revisions,
                                           std::vector<Bytes>* values) const;

  backend::Backend& backend() const { return *backend_; }
  const LivenessRing& ring() const { return *ring_; }
  bool values_pressed() const { return cache_.pressed(); }

  // ---- the writer ----
  void begin();
  void end();
  int64_t txn_revision() const { return revision_ + (changes_ > 0 ? 1 : 0); }
  int64_t writer_revision() const { return revision_; }
  size_t changes() const { return changes_; }
  int64_t writer_compact_revision() const { return compact_revision_; }
  bool exists(std::string_view key);
  const std::vector<LeaseChange>& lease_changes() const { return lease_changes_; }
  absl::StatusOr<PutResult> put(const PutRequest& request);
  absl::StatusOr<DeleteResult> delete_range(const KeyRange& keys, bool prev_kv);
  DeleteResult delete_keys(std::span<const std::string> keys);
  backend::WriteBatch& batch() { return batch_; }
  absl::StatusOr<EventBatchPtr> publish(keelson::Index index, Term term);
  absl::Status compact(int64_t revision);
  bool compact_step(size_t max_work);
  bool compacting() const { return compacting_; }
  bool compaction_held();
  uint64_t compaction_debt() const;
  std::unique_ptr<HashKvJob> take_compaction_hash();
  void drop_compaction_hash();
  bool warm(const backend::PassingRecords& records);
  StoreStats stats() const;
  void check_invariants() const;

  mutable HashStorage hashes;

  // A store that was replaced ends, with what it stands on, when its last reader leaves; that takes
  // long, so it does not happen there.
  void replaced(std::shared_ptr<void> stands_on, Dispose dispose) {
    stands_on_ = std::move(stands_on);
    dispose_ = std::move(dispose);
  }
  static void end_of(StoreImpl* store);

 private:
  // What the index knows of a key; `value` is empty when the cache does not hold it.
  struct Found {
    bool exists = false;
    Revision revision;
    Bytes value;
    uint32_t size;
  };
  Found find(Epochs::Slot* slot, int64_t at, std::string_view key) const;

  // write_txn.cc
  struct Change {
    Revision revision;
    KeyRecord* record;
    Version* old;  // the head before, or null
  };
  KeyRecord* new_record(std::string_view key);
  // `size` of the encoded KeyValue, which is not in memory.
  Version* new_version(Version* prev, Revision revision, uint32_t size);
  Version* new_version(Version* prev, Revision revision, Bytes kv);
  void free_record(KeyRecord* record);
  Revision next_revision();
  void supersede(const Change& change);
  // `record` changed at `main` so that older versions are of no more use than a compaction finds.
  void add_garbage(int64_t main, KeyRecord* record, const Version* old);
  void note_lease(KeyRecord* record, int64_t lease);
  void add_put_event(const Change& change, Bytes kv, int64_t create);
  void add_delete_event(const Change& change);
  static void set_previous(const Change& change, Event* event);
  absl::StatusOr<Bytes> value_of(const Version* version) const;
  DeleteResult delete_records(std::span<KeyRecord* const> doomed);
  void delete_record(KeyRecord* record);

  // compaction.cc
  struct Deferred {
    int64_t main;
    KeyRecord* record;
  };
  struct Trimmed {
    int64_t tombstone_main;  // 0: the newest version kept is no tombstone
  };
  std::optional<Deferred> next_garbage();
  size_t trim(const Deferred& entry);
  void remove_tombstone(KeyRecord* record, Version* tombstone);
  bool free_detached(size_t* work, size_t max_work);
  void delete_version(const Version* version);

  // restore.cc
  friend class Restorer;

  // No read below compact_revision_ is under way, and none can begin.
  bool readers_have_left();

  void publish_root();
  EventBatchPtr take_events();

  std::shared_ptr<void> stands_on_;  // outlives everything below
  Dispose dispose_;
  backend::Backend* backend_;
  StoreOptions options_;
  Slab slab_;
  Epochs epochs_{&slab_};
  KeyTree tree_{&slab_, &epochs_};
  std::unique_ptr<LivenessRing> ring_;
  ValueCache cache_;
  std::atomic<Root*> root_{nullptr};
  // Of the root, for who has no slot.
  std::atomic<int64_t> published_revision_{1};
  std::atomic<int64_t> published_compact_revision_{-1};
  mutable std::atomic<uint64_t> held_bytes_{0};
  std::atomic<int64_t> published_finished_revision_{-1};
  std::atomic<int64_t> published_keys_{0};
  std::atomic<uint64_t> published_compacted_{0};

  int64_t revision_ = 1;           // >= that of the root
  int64_t compact_revision_ = -1;  // <= revision_; >= that of the root
  bool in_txn_ = false;
  size_t changes_ = 0;
  uint64_t descents_ = 0;  // that looking for keys to delete took
  std::vector<LeaseChange> lease_changes_;

  // Since the last publish().
  backend::WriteBatch batch_;
  std::vector<Event> events_;
  std::vector<Version*> superseded_;

  GarbageQueue garbage_;  // not compacting_: all beyond compact_revision_
  bool compacting_ = false;
  bool readers_left_ = false;  // see readers_have_left(); only while compacting_
  // Tombstones at a compact revision stay until the next one. Ascending; not compacting_: all at
  // compact_revision_.
  std::deque<Deferred> deferred_;
  // Keys with long chains that this compaction has cut already.
  absl::flat_hash_map<KeyRecord*, Trimmed> trimmed_;
  Version* detached_ = nullptr;  // cut off, waiting to be freed
  uint64_t compacted_ = 0;
  uint64_t live_bytes_ = 0;  // the sum of stored_bytes() over all versions in the index
  // Set by compact() for take_compaction_hash().
  struct HashPlan {
    int64_t previous_compact_revision;
    int64_t revision;
  };
  std::optional<HashPlan> hash_plan_;
  // While the job that was taken reads what this compaction is to remove.
  std::shared_ptr<CompactionHold> hash_hold_;

  std::vector<std::pair<std::string, LeaseId>> restored_leases_;
};

// A reader's place in the store that there is now, and in former ones while it still reads there.
class Place final : public ReaderSlot {
 public:
  Place(std::shared_ptr<StoreImpl> store, uint64_t generation)
      : now_(std::make_unique<Stay>(std::move(store))), generation_(generation) {}

  uint64_t generation() const { return generation_; }
  void go_to(std::shared_ptr<StoreImpl> store, uint64_t generation);
  bool has_former() const { return !former_.empty(); }
  // Leaves the former stores in which nothing is pinned any more.
  void leave_former();
  StoreImpl& store() const { return *now_->store; }
  Epochs::Slot* slot() const { return now_->slot.get(); }

 private:
  struct Stay {
    explicit Stay(std::shared_ptr<StoreImpl> in) : store(std::move(in)), slot(store->epochs()) {}
    const std::shared_ptr<StoreImpl> store;
    const OwnSlot slot;
  };
  std::unique_ptr<Stay> now_;
  uint64_t generation_;
  std::vector<std::unique_ptr<Stay>> former_;  // with pins
};

}  // namespace keelson::mvcc
