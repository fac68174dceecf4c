#include "mvcc/store.h"

#include "base/check.h"
#include "base/errors.h"
#include "base/failpoint.h"
#include "base/text.h"
#include "mvcc/key_tree_view.h"
#include "mvcc/revision_key.h"
#include "mvcc/store_impl.h"

namespace keelson::mvcc {
namespace {

Place& place(ReaderSlot& slot) { return static_cast<Place&>(slot); }

}  // namespace

StoreImpl::StoreImpl(backend::Backend* backend, StoreOptions options)
    : backend_(backend), options_(options), cache_(options.value_memory, &epochs_) {}

// A task that a lane ends without running takes the store with it.
void StoreImpl::end_of(StoreImpl* store) {
  std::unique_ptr<StoreImpl> owned(store);
  Dispose dispose = std::move(store->dispose_);
  if (dispose) dispose([owned = std::move(owned)]() mutable { owned.reset(); });
}

void Place::go_to(std::shared_ptr<StoreImpl> store, uint64_t generation) {
  CHECK(generation > generation_);
  former_.push_back(std::exchange(now_, std::make_unique<Stay>(std::move(store))));
  generation_ = generation;
}

void Place::leave_former() {
  std::erase_if(former_, [](const auto& stay) { return stay->slot.get()->pins == 0; });
}

void StoreImpl::free_record(KeyRecord* record) {
  Version* version = record->head.load(std::memory_order_relaxed);
  while (version) {
    Version* prev = version->prev.load(std::memory_order_relaxed);
    if (void* block = version->block()) Bytes::adopt(block, 0);
    slab_.free(version, sizeof(Version));
    version = prev;
  }
  slab_.free(record, KeyRecord::bytes_for(record->key_size));
}

StoreImpl::~StoreImpl() {
  TreeCursor cursor(tree_.root());
  for (cursor.seek({}); cursor.valid(); cursor.next()) free_record(cursor.record());
  while (detached_) {
    Version* version = detached_;
    detached_ = version->prev.load(std::memory_order_relaxed);
    if (void* block = version->block()) Bytes::adopt(block, 0);
    slab_.free(version, sizeof(Version));
  }
  if (Root* root = root_.load()) slab_.free(root, sizeof(Root));
}

Root StoreImpl::current(Epochs::Slot* slot) const {
  if (slot) return *root();
  return Root{tree_.root(), txn_revision(), compact_revision_, ring_->end()};
}

bool StoreImpl::pin(Epochs::Slot* slot, int64_t revision, RevisionPin* pin) const {
  if (!slot) return revision >= compact_revision_;
  *pin = RevisionPin(slot, revision);
  return published_compact_revision() <= revision;
}

StoreImpl::Found StoreImpl::find(Epochs::Slot* slot, int64_t at, std::string_view key) const {
  EpochSection section(epochs_, slot);
  Root now = current(slot);
  KeyRecord* record = find_record(now.tree, key);
  Version* version = record ? record->visible(at) : nullptr;
  if (!version) return {};
  if (cache_.pressed()) version->touch();
  return {.exists = true,
          .revision = version->revision(),
          .value = version->bytes(),
          .size = version->size};
}

absl::StatusOr<std::optional<Bytes>> StoreImpl::get(Epochs::Slot* slot, int64_t at,
                                                    std::string_view key) const {
  Found found = find(slot, at, key);
  if (!found.exists) return std::optional<Bytes>();
  if (!found.value.empty()) return std::optional<Bytes>(std::move(found.value));
  KEELSON_FAILPOINT("mvcc_read_back");
  absl::StatusOr<Bytes> value = read_back(found.revision);
  if (!value.ok()) return value.status();
  return std::optional<Bytes>(*std::move(value));
}

StoreStats StoreImpl::stats() const {
  return StoreStats{
      .keys = static_cast<int64_t>(tree_.live()),
      .records = static_cast<int64_t>(tree_.records()),
      .index_bytes = slab_.used(),
      .value_bytes = cache_.bytes(),
      .retired = epochs_.waiting(),
      .garbage_queue = garbage_.size(),
      .compacted_keys = compacted_,
      .descents = descents_ + tree_.descents(),
  };
}

void StoreImpl::check_invariants() const {
  tree_.check_invariants();
  const Root* now = root();
  CHECK(now->revision <= revision_);
  CHECK(now->compact_revision <= compact_revision_);
  CHECK(compact_revision_ <= revision_);
  uint64_t held = 0;
  TreeCursor cursor(tree_.root());
  for (cursor.seek({}); cursor.valid(); cursor.next()) {
    const Version* version = cursor.record()->head.load();
    CHECK(version != nullptr);
    while (version) {
      if (version->block()) held += version->size;
      CHECK(!version->tombstone() || version->block() == nullptr);
      const Version* prev = version->prev.load();
      CHECK(!prev || prev->revision() < version->revision());
      version = prev;
    }
  }
  for (const Version* version = detached_; version; version = version->prev.load()) {
    if (version->block()) held += version->size;
  }
  CHECK(held == cache_.bytes());
}

// The newest revision may be compacted between the first load and the pin; there is a newer one
// then.
ReadView::ReadView(ReaderSlot& slot, ReadBounds* bounds)
    : store_(&place(slot).store()), slot_(place(slot).slot()), bounds_(bounds) {
  auto* at = static_cast<Epochs::Slot*>(slot_);
  while (true) {
    revision_ = store_->published_revision();
    Epochs::pin(at, revision_);
    compact_revision_ = store_->published_compact_revision();
    if (compact_revision_ <= revision_) return;
    Epochs::unpin(at);
  }
}

ReadView::ReadView(ReadView&& other) noexcept
    : store_(other.store_),
      slot_(std::exchange(other.slot_, nullptr)),
      bounds_(other.bounds_),
      revision_(other.revision_),
      compact_revision_(other.compact_revision_) {}

ReadView::~ReadView() {
  if (slot_) Epochs::unpin(static_cast<Epochs::Slot*>(slot_));
}

absl::StatusOr<RangeResult> ReadView::range(std::string_view key, std::string_view end,
                                            const RangeOptions& options) const {
  return store_->range(static_cast<Epochs::Slot*>(slot_), revision_, {key, end}, options, bounds_);
}

absl::StatusOr<std::optional<Bytes>> ReadView::get(std::string_view key) const {
  return store_->get(static_cast<Epochs::Slot*>(slot_), revision_, key);
}

Store::Store(std::shared_ptr<StoreImpl> impl) : impl_(std::move(impl)) { show(); }
Store::~Store() = default;

absl::StatusOr<std::unique_ptr<Store>> Store::open(backend::Backend* backend,
                                                   StoreOptions options) {
  std::shared_ptr<StoreImpl> impl(new StoreImpl(backend, options), &StoreImpl::end_of);
  if (absl::Status s = impl->restore(); !s.ok()) return s;
  return std::unique_ptr<Store>(new Store(std::move(impl)));
}

void Store::show() {
  revision_.store(impl_->published_revision(), std::memory_order_release);
  compact_revision_.store(impl_->published_compact_revision(), std::memory_order_release);
  keys_.store(impl_->published_keys(), std::memory_order_relaxed);
  compacted_keys_.store(impl_->published_compacted(), std::memory_order_relaxed);
}

void Store::replace(std::unique_ptr<Store> next, std::shared_ptr<void> stands_on, Dispose dispose) {
  CHECK(next->revision() >= revision());
  CHECK(impl_->batch().empty());
  impl_->drop_compaction_hash();
  std::shared_ptr<StoreImpl> former;
  {
    std::lock_guard lock(replacing_);
    former = std::exchange(impl_, next->impl_);
    generation_.fetch_add(1, std::memory_order_release);
  }
  former->replaced(std::move(stands_on), std::move(dispose));
  show();
}

StoreImpl& Store::go_to_newest(ReaderSlot& slot) const {
  Place& at = place(slot);
  const bool replaced = at.generation() != generation_.load(std::memory_order_acquire);
  if (replaced || at.has_former()) follow(slot);
  return at.store();
}

bool Store::follow(ReaderSlot& slot) const {
  std::unique_lock lock(replacing_);
  std::shared_ptr<StoreImpl> newest = impl_;
  const uint64_t generation = generation_.load(std::memory_order_relaxed);
  lock.unlock();
  if (place(slot).generation() != generation) place(slot).go_to(std::move(newest), generation);
  place(slot).leave_former();
  return !place(slot).has_former();
}

std::vector<std::pair<std::string, LeaseId>> Store::take_restored_leases() {
  return impl_->take_restored_leases();
}

std::unique_ptr<ReaderSlot> Store::register_reader() {
  std::lock_guard lock(replacing_);
  return std::make_unique<Place>(impl_, generation_.load(std::memory_order_relaxed));
}

ReadView Store::read(ReaderSlot& slot, ReadBounds* bounds) const {
  go_to_newest(slot);
  return ReadView(slot, bounds);
}

absl::StatusOr<RangeResult> Store::range(ReaderSlot& slot, std::string_view key,
                                         std::string_view end, const RangeOptions& options) const {
  return read(slot).range(key, end, options);
}

// The root may be replaced and its memory used again between the two loads of a caller without a
// slot, and so may the whole store; so these go through copies.
int64_t Store::revision() const { return revision_.load(std::memory_order_acquire); }
int64_t Store::compact_revision() const {
  return compact_revision_.load(std::memory_order_acquire);
}
int64_t Store::keys() const { return keys_.load(std::memory_order_relaxed); }
uint64_t Store::compacted_keys() const { return compacted_keys_.load(std::memory_order_relaxed); }

absl::StatusOr<History> Store::history(ReaderSlot& slot, int64_t from, int64_t to,
                                       size_t max_bytes) const {
  return go_to_newest(slot).history(place(slot).slot(), from, to, max_bytes);
}
absl::StatusOr<Bytes> Store::previous_kv(ReaderSlot& slot, const Event& event) const {
  return go_to_newest(slot).previous_kv(place(slot).slot(), event);
}
absl::StatusOr<std::shared_ptr<HeldRange>> Store::hold_previous(
    ReaderSlot& slot, std::span<const Event> events) const {
  return go_to_newest(slot).hold_previous(place(slot).slot(), events);
}
std::optional<Bytes> Store::previous_kv_in_memory(ReaderSlot& slot, const Event& event) const {
  return go_to_newest(slot).previous_kv_in_memory(place(slot).slot(), event);
}
absl::StatusOr<std::unique_ptr<HashKvJob>> Store::hash_kv(int64_t revision) const {
  std::unique_lock lock(replacing_);
  std::shared_ptr<StoreImpl> newest = impl_;
  lock.unlock();
  return newest->hash_kv(revision);
}

std::vector<KvHash> Store::compaction_hashes() const {
  std::unique_lock lock(replacing_);
  std::shared_ptr<StoreImpl> newest = impl_;
  lock.unlock();
  return newest->hashes.all();
}

WriteTxn Store::begin() { return WriteTxn(impl_.get()); }
backend::WriteBatch& Store::batch() { return impl_->batch(); }
absl::StatusOr<EventBatchPtr> Store::publish(keelson::Index index, Term term) {
  absl::StatusOr<EventBatchPtr> published = impl_->publish(index, term);
  show();
  return published;
}
absl::Status Store::compact(int64_t revision) { return impl_->compact(revision); }
bool Store::compact_step(size_t max_work) { return impl_->compact_step(max_work); }
bool Store::compacting() const { return impl_->compacting(); }
std::unique_ptr<HashKvJob> Store::take_compaction_hash() { return impl_->take_compaction_hash(); }
void Store::drop_compaction_hash() { impl_->drop_compaction_hash(); }
bool Store::warm(const backend::PassingRecords& records) { return impl_->warm(records); }
bool Store::compaction_held() { return impl_->compaction_held(); }
uint64_t Store::compaction_debt() const { return impl_->compaction_debt(); }
StoreStats Store::stats() const { return impl_->stats(); }
void Store::check_invariants() const { impl_->check_invariants(); }

}  // namespace keelson::mvcc
