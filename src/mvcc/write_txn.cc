// Transactions on the apply lane. Every change is made in memory and added to the batch at once; it
// cannot fail half way.

#include <new>

#include "base/check.h"
#include "mvcc/key_tree_view.h"
#include "mvcc/revision_key.h"
#include "mvcc/store_impl.h"

namespace keelson::mvcc {
namespace {

using backend::Bucket;

// Did a change at `main` already leave an entry in the garbage queue for this record? Only possible
// when one transaction changes a key twice.
bool has_entry_at(const Version* head, int64_t main) {
  for (const Version* v = head; v && v->main == main; v = v->prev.load(std::memory_order_relaxed)) {
    const Version* prev = v->prev.load(std::memory_order_relaxed);
    if (v->tombstone() || (prev && !prev->tombstone())) return true;
  }
  return false;
}

}  // namespace

void StoreImpl::begin() {
  CHECK(!in_txn_);
  in_txn_ = true;
  lease_changes_.clear();
}

void StoreImpl::end() {
  CHECK(in_txn_);
  in_txn_ = false;
  if (changes_ > 0) ++revision_;
  changes_ = 0;
}

KeyRecord* StoreImpl::new_record(std::string_view key) {
  void* memory = slab_.allocate(KeyRecord::bytes_for(key.size()));
  auto* record = new (memory) KeyRecord{};
  record->head.store(nullptr, std::memory_order_relaxed);
  record->create.store(0, std::memory_order_relaxed);
  record->version.store(0, std::memory_order_relaxed);
  record->lease = 0;
  record->clock = KeyRecord::kNoClock;
  record->key_size = static_cast<uint32_t>(key.size());
  __builtin_memcpy(static_cast<void*>(record + 1), key.data(), key.size());
  return record;
}

Version* StoreImpl::new_version(Version* prev, Revision revision, Bytes kv) {
  Version* version = new_version(prev, revision, static_cast<uint32_t>(kv.size()));
  version->value.store(reinterpret_cast<uintptr_t>(kv.give()), std::memory_order_relaxed);
  return version;
}

Version* StoreImpl::new_version(Version* prev, Revision revision, uint32_t size) {
  auto* version = new (slab_.allocate(sizeof(Version))) Version{};
  version->prev.store(prev, std::memory_order_relaxed);
  version->main = revision.main;
  CHECK(revision.sub <= UINT32_MAX);
  version->sub = static_cast<uint32_t>(revision.sub);
  version->size = size;
  live_bytes_ += stored_bytes(*version);
  return version;
}

Revision StoreImpl::next_revision() {
  CHECK(in_txn_);
  return {revision_ + 1, static_cast<int64_t>(changes_++)};
}

absl::StatusOr<Bytes> StoreImpl::value_of(const Version* version) const {
  Bytes held = version->bytes();
  if (!held.empty()) return held;
  return read_back(version->revision());
}

// The old head is history now: compaction will want to know, and its value leaves memory with the
// next publish().
void StoreImpl::supersede(const Change& change) {
  add_garbage(change.revision.main, change.record, change.old);
  superseded_.push_back(change.old);
}

void StoreImpl::add_garbage(int64_t main, KeyRecord* record, const Version* old) {
  if (!has_entry_at(old, main)) garbage_.push(main, record);
}

void StoreImpl::note_lease(KeyRecord* record, int64_t lease) {
  if (record->lease == lease) return;
  lease_changes_.push_back({record->key(), LeaseId(record->lease), LeaseId(lease)});
  record->lease = lease;
}

bool StoreImpl::exists(std::string_view key) {
  KeyRecord* record = tree_.find(key);
  return record && !record->head.load(std::memory_order_relaxed)->tombstone();
}

absl::StatusOr<PutResult> StoreImpl::put(const PutRequest& request) {
  if (request.key.empty()) return absl::InternalError("mvcc: a put without a key");
  KeyRecord* record = tree_.find(request.key);
  Version* old = record ? record->head.load(std::memory_order_relaxed) : nullptr;
  bool alive = old && !old->tombstone();

  KeyValueView kv{.key = request.key, .value = request.value, .lease = request.lease.value};
  Bytes previous;
  if (request.ignore_value || request.ignore_lease || request.prev_kv) {
    if (!alive && (request.ignore_value || request.ignore_lease)) {
      return absl::InternalError("mvcc: a put was to keep what a missing key has");
    }
    if (alive) {
      absl::StatusOr<Bytes> read = value_of(old);
      if (!read.ok()) return read.status();
      previous = *std::move(read);
      KeyValueView before;
      if (!decode_key_value(previous, &before)) return absl::DataLossError("mvcc: bad KeyValue");
      if (request.ignore_value) kv.value = before.value;
      if (request.ignore_lease) kv.lease = before.lease;
    }
  }

  Revision revision = next_revision();
  kv.create_revision = alive ? record->create.load(std::memory_order_relaxed) : revision.main;
  kv.version = alive ? record->version.load(std::memory_order_relaxed) + 1 : 1;
  kv.mod_revision = revision.main;
  Bytes encoded = encode_key_value(kv);
  batch_.put(Bucket::kKey, RevisionKey(revision).view(), encoded);

  bool fresh = record == nullptr;
  if (fresh) record = new_record(request.key);
  Version* version = new_version(old, revision, encoded);
  record->head.store(version, std::memory_order_release);
  record->create.store(kv.create_revision, std::memory_order_release);
  record->version.store(kv.version, std::memory_order_release);
  cache_.added(record, version->size);

  Change change{revision, record, old};
  if (alive) {
    supersede(change);
  } else {
    if (fresh) {
      tree_.insert(record, true);
    } else {
      tree_.set_live(record->key(), true);
    }
    ring_->push(revision.main, record, true);
  }
  note_lease(record, kv.lease);
  add_put_event(change, std::move(encoded), kv.create_revision);
  return PutResult{revision.main, request.prev_kv ? std::move(previous) : Bytes(), kv.value.size()};
}

absl::StatusOr<DeleteResult> StoreImpl::delete_range(const KeyRange& keys, bool prev_kv) {
  std::vector<KeyRecord*> doomed;
  if (keys.single()) {
    KeyRecord* record = tree_.find(keys.begin);
    if (record && !record->head.load(std::memory_order_relaxed)->tombstone()) {
      doomed.push_back(record);
    }
  } else {
    TreeCursor cursor(tree_.root());
    for (cursor.seek_first_live(keys.begin); cursor.valid(); cursor.next_live()) {
      if (keys.past_end(cursor.record()->key())) break;
      doomed.push_back(cursor.record());
    }
  }
  std::vector<Bytes> prev_kvs;
  if (prev_kv) {
    for (KeyRecord* record : doomed) {
      absl::StatusOr<Bytes> value = value_of(record->head.load(std::memory_order_relaxed));
      if (!value.ok()) return value.status();
      prev_kvs.push_back(*std::move(value));
    }
  }
  DeleteResult result = delete_records(doomed);
  result.prev_kvs = std::move(prev_kvs);
  return result;
}

DeleteResult StoreImpl::delete_keys(std::span<const std::string> keys) {
  std::vector<KeyRecord*> doomed;
  doomed.reserve(keys.size());
  TreeCursor cursor(tree_.root());
  for (size_t i = 0; i < keys.size(); ++i) {
    if (i > 0) CHECK(keys[i - 1] < keys[i]);
    if (i == 0) cursor.seek(keys[i]);
    if (cursor.valid() && cursor.record()->key() < keys[i]) cursor.seek_ahead(keys[i]);
    if (!cursor.valid()) break;
    if (cursor.live() && cursor.record()->key() == keys[i]) doomed.push_back(cursor.record());
  }
  descents_ += cursor.descents();
  return delete_records(doomed);
}

// In order of keys.
DeleteResult StoreImpl::delete_records(std::span<KeyRecord* const> doomed) {
  for (KeyRecord* record : doomed) delete_record(record);
  tree_.set_dead(doomed);
  return {
      .revision = txn_revision(), .deleted = static_cast<int64_t>(doomed.size()), .prev_kvs = {}};
}

void StoreImpl::delete_record(KeyRecord* record) {
  Version* old = record->head.load(std::memory_order_relaxed);
  Revision revision = next_revision();
  Bytes tombstone = encode_key_value({.key = record->key()});
  batch_.put(Bucket::kKey, RevisionKey(revision, /*tombstone=*/true).view(), tombstone);
  record->head.store(new_version(old, revision, Bytes()), std::memory_order_release);
  Change change{revision, record, old};
  supersede(change);
  ring_->push(revision.main, record, false);
  note_lease(record, 0);
  add_delete_event(change);
}

void StoreImpl::set_previous(const Change& change, Event* event) {
  const Version* before = change.old;
  while (before && before->main >= change.revision.main) {
    before = before->prev.load(std::memory_order_relaxed);
  }
  if (!before || before->tombstone()) return;
  event->prev_revision = before->revision();
  event->prev_kv = before->bytes();
}

void StoreImpl::add_put_event(const Change& change, Bytes kv, int64_t create) {
  Event& event = events_.emplace_back();
  event.type = EventType::kPut;
  event.revision = change.revision;
  event.create_revision = create;
  // The key is the first field: a tag, its length, its bytes.
  size_t key_size = change.record->key_size;
  size_t key_at = 1;
  for (size_t rest = key_size; rest >= 0x80; rest >>= 7) ++key_at;
  event.key = kv.view().substr(key_at + 1, key_size);
  event.kv = std::move(kv);
  set_previous(change, &event);
}

void StoreImpl::add_delete_event(const Change& change) {
  Event& event = events_.emplace_back();
  event.type = EventType::kDelete;
  event.revision = change.revision;
  event.kv = encode_key_value({.key = change.record->key(), .mod_revision = change.revision.main});
  KeyValueView view;
  CHECK(decode_key_value(event.kv, &view));
  event.key = view.key;
  set_previous(change, &event);
}

WriteTxn::WriteTxn(StoreImpl* store) : store_(store) { store_->begin(); }
WriteTxn::WriteTxn(WriteTxn&& other) noexcept : store_(std::exchange(other.store_, nullptr)) {}
WriteTxn::~WriteTxn() {
  if (store_) store_->end();
}

absl::StatusOr<RangeResult> WriteTxn::range(std::string_view key, std::string_view end,
                                            const RangeOptions& options) const {
  return store_->range(nullptr, revision(), {key, end}, options, nullptr);
}
absl::StatusOr<std::optional<Bytes>> WriteTxn::get(std::string_view key) const {
  return store_->get(nullptr, revision(), key);
}
absl::StatusOr<PutResult> WriteTxn::put(const PutRequest& request) { return store_->put(request); }
absl::StatusOr<DeleteResult> WriteTxn::delete_range(std::string_view key, std::string_view end,
                                                    bool prev_kv) {
  return store_->delete_range({key, end}, prev_kv);
}
DeleteResult WriteTxn::delete_keys(std::span<const std::string> keys) {
  return store_->delete_keys(keys);
}
bool WriteTxn::exists(std::string_view key) const { return store_->exists(key); }
int64_t WriteTxn::compact_revision() const { return store_->writer_compact_revision(); }
int64_t WriteTxn::revision() const { return store_->txn_revision(); }
int64_t WriteTxn::first_revision() const { return store_->writer_revision(); }
size_t WriteTxn::changes() const { return store_->changes(); }
const std::vector<LeaseChange>& WriteTxn::lease_changes() const { return store_->lease_changes(); }

}  // namespace keelson::mvcc
