#include <algorithm>
#include <bit>

#include "base/check.h"
#include "base/errors.h"
#include "base/failpoint.h"
#include "mvcc/held_range.h"
#include "mvcc/key_tree_view.h"
#include "mvcc/range_read.h"

namespace keelson::mvcc {
namespace {

// Keys visited in one epoch section: some 100 µs.
constexpr uint32_t kSectionKeys = 2048;
// Room made ahead for the items of a range; a longer one grows as it goes.
constexpr uint64_t kMostReserved = 1 << 16;
// Values read from the backend in one go.
constexpr size_t kReadBackBatch = 128;

}  // namespace

RangeRead::RangeRead(const StoreImpl& store, Epochs::Slot* slot, int64_t at, const KeyRange& keys,
                     const RangeOptions& options, ReadBounds* bounds)
    : store_(store),
      slot_(slot),
      at_(at),
      keys_(keys),
      options_(options),
      bounds_(bounds),
      revision_(options.revision <= 0 ? at : options.revision),
      index_only_(options.keys_only && options.sort_target != SortTarget::kValue),
      enough_(enough()) {}

bool RangeRead::has_filters() const {
  return options_.min_mod_revision != 0 || options_.max_mod_revision != 0 ||
         options_.min_create_revision != 0 || options_.max_create_revision != 0;
}

bool RangeRead::default_order() const {
  return options_.sort_order == SortOrder::kNone ||
         (options_.sort_target == SortTarget::kKey && options_.sort_order == SortOrder::kAscend);
}

int64_t RangeRead::fetch_limit() const {
  if (!default_order() || has_filters() || options_.limit <= 0) return 0;
  return options_.limit < INT64_MAX ? options_.limit + 1 : options_.limit;
}

uint64_t RangeRead::enough() const {
  if (fetch_limit() > 0) return static_cast<uint64_t>(fetch_limit());
  // By key ascending, the first limit + 1 that pass the filters are the answer as well.
  bool by_key = default_order() && options_.sort_target == SortTarget::kKey;
  bool by_create = options_.min_create_revision != 0 || options_.max_create_revision != 0;
  if (!by_key || by_create || options_.limit <= 0 || options_.limit == INT64_MAX) return 0;
  return static_cast<uint64_t>(options_.limit) + 1;
}

absl::StatusOr<RangeResult> RangeRead::run() {
  if (revision_ > at_) return errors::FutureRev();
  // The view holds its own revision; an older one is held here. From then on nothing that this read
  // is to see can go away.
  RevisionPin pinned;
  if (revision_ < at_ && !store_.pin(slot_, revision_, &pinned)) return errors::Compacted();
  RangeResult result;
  result.revision = at_;
  if (absl::Status s = walk(); !s.ok()) return s;
  uint64_t count = count_;
  if (!options_.count_only && !options_.total_count && fetch_limit() > 0) {
    count = std::min(count, static_cast<uint64_t>(fetch_limit()));
  }
  result.count = static_cast<int64_t>(count);
  if (options_.count_only) return result;
  absl::StatusOr<bool> held = hold(&result);
  if (!held.ok()) return held.status();
  if (*held) return result;
  if (absl::Status s = read_back(); !s.ok()) return s;
  if (absl::Status s = finish(&result); !s.ok()) return s;
  return result;
}

absl::Status RangeRead::walk() {
  bool done = false;
  while (true) {
    {
      EpochSection section(store_.epochs(), slot_);
      if (absl::Status s = walk_section(&done); !s.ok()) return s;
    }
    if (done) return absl::OkStatus();
    if (unwanted()) return gave_up();
  }
}

absl::Status RangeRead::walk_section(bool* done) {
  Root root = store_.current(slot_);
  KEELSON_FAILPOINT("mvcc_range_section");
  if (keys_.single()) {
    if (!may_visit(1)) return not_here();
    read_single(root);
    *done = true;
    return absl::OkStatus();
  }
  if (!started_) start(root);
  if (count_known_ && (options_.count_only || have_enough())) {
    if (!may_visit(1)) return not_here();
    *done = true;
  } else if (revision_ == root.revision) {
    if (!may_visit(newest_visits())) return not_here();
    walk_newest(root, done);
  } else {
    if (!may_visit(kSectionKeys)) return not_here();
    walk_older(root, done);
  }
  return absl::OkStatus();
}

// What walk_newest() has still to visit, told ahead: a read that is too long is not begun.
uint64_t RangeRead::newest_visits() const {
  bool all_count = enough_ > 0 && !has_filters();
  return all_count ? std::min(left_, enough_ - items_.size()) : left_;
}

bool RangeRead::may_visit(uint64_t keys) {
  if (!bounds_) return true;
  return keys <= UINT64_MAX / ReadBounds::kSorted &&
         bounds_->spend(is_sorted() ? keys * ReadBounds::kSorted : keys);
}

bool RangeRead::unwanted() const {
  return bounds_ && bounds_->unwanted && bounds_->unwanted->load(std::memory_order_relaxed);
}

absl::Status RangeRead::gave_up() { return absl::CancelledError("nobody waits for this read"); }

absl::Status not_here() {
  return absl::AbortedError("mvcc: this read is too long for where it is");
}

void RangeRead::read_single(const Root& root) {
  KeyRecord* record = find_record(root.tree, keys_.begin);
  Version* version = record ? record->visible(revision_) : nullptr;
  count_ = version ? 1 : 0;
  if (!version || options_.count_only) return;
  if (store_.values_pressed()) version->touch();
  take(record, version);
}

uint64_t RangeRead::count_in(const Root& root) const {
  if (!keys_.open_ended() && keys_.end <= keys_.begin) return 0;
  uint64_t end = keys_.open_ended() ? live_below(root.tree) : live_rank(root.tree, keys_.end);
  return end - live_rank(root.tree, keys_.begin);
}

void RangeRead::start(const Root& root) {
  started_ = true;
  uint64_t now = count_in(root);
  if (revision_ == root.revision) {
    count_ = left_ = now;
    count_known_ = true;
    if (!options_.count_only)
      items_.reserve(std::min({now, enough_ > 0 ? enough_ : now, kMostReserved}));
    // The last page in descending order: only the end of the range has to be visited.
    bool descending = options_.sort_target == SortTarget::kKey &&
                      options_.sort_order == SortOrder::kDescend && !has_filters();
    if (descending && options_.limit > 0 && static_cast<uint64_t>(options_.limit) < now) {
      skip_ = now - static_cast<uint64_t>(options_.limit) - 1;
      left_ -= skip_;
    }
    return;
  }
  if (!options_.total_count && fetch_limit() > 0) return;
  // Worth it when the walk would otherwise go on only to count.
  if (!options_.count_only && enough_ == 0) return;
  std::optional<int64_t> change =
      store_.ring().count_change(root.flips_end, root.revision, revision_, now + 256,
                                 [this](std::string_view key) { return keys_.contains(key); });
  if (!change) return;
  count_ = now - static_cast<uint64_t>(*change);
  count_known_ = true;
}

// At the newest revision dead keys are skipped by bitmap, and where the range ends is known by
// count. Records, versions and values are fetched ahead, a leaf at a time.
void RangeRead::walk_newest(const Root& root, bool* done) {
  TreeCursor cursor(root.tree);
  if (resuming_) {
    cursor.seek(resume_);
    if (cursor.valid() && cursor.record()->key() == resume_) cursor.next();
  } else if (skip_ > 0) {
    cursor.seek_live(live_rank(root.tree, keys_.begin) + skip_);
  } else {
    cursor.seek(keys_.begin);
  }
  uint32_t visited = 0;
  KeyRecord* records[TreeNode::kFan];
  Version* versions[TreeNode::kFan];
  while (left_ > 0 && visited < kSectionKeys) {
    CHECK(cursor.valid());
    uint64_t live = cursor.leaf()->live >> cursor.index() << cursor.index();
    uint32_t n = 0;
    bool all_count = enough_ > 0 && !has_filters();  // each key visited is an item
    uint64_t most = all_count ? std::min(left_, enough_ - items_.size()) : left_;
    for (; live != 0 && n < most; live &= live - 1) {
      records[n] = cursor.leaf()->records[std::countr_zero(live)];
      __builtin_prefetch(records[n++]);
    }
    for (uint32_t i = 0; i < n; ++i) {
      versions[i] = records[i]->head.load(std::memory_order_acquire);
      __builtin_prefetch(versions[i]);
    }
    if (!index_only_) {
      for (uint32_t i = 0; i < n; ++i) __builtin_prefetch(versions[i]->block(), 1);
    }
    for (uint32_t i = 0; i < n; ++i) {
      --left_;
      Version* version = records[i]->visible(revision_);
      CHECK(version != nullptr);  // live in this root, and pinned
      if (!take(records[i], version)) {
        left_ = 0;
        break;
      }
    }
    visited += n;
    if (n > 0) resume_.assign(records[n - 1]->key());
    resuming_ = resuming_ || n > 0;
    cursor.next_live_leaf();
  }
  *done = left_ == 0;
}

void RangeRead::walk_older(const Root& root, bool* done) {
  TreeCursor cursor(root.tree);
  cursor.seek(resuming_ ? std::string_view(resume_) : keys_.begin);
  if (resuming_ && cursor.valid() && cursor.record()->key() == resume_) cursor.next();
  KeyRecord* last = nullptr;
  for (uint32_t visited = 0; visited < kSectionKeys; ++visited, cursor.next()) {
    if (!cursor.valid() || keys_.past_end(cursor.record()->key())) {
      *done = true;
      return;
    }
    last = cursor.record();
    Version* version = last->visible(revision_);
    if (!version) continue;
    if (!count_known_) ++count_;
    if (!options_.count_only && !have_enough()) take(last, version);
    // etcd stops at the limit when nobody asked for the total.
    bool count_needed = !count_known_ && (options_.total_count || fetch_limit() == 0);
    if (have_enough() && !count_needed) {
      *done = true;
      return;
    }
  }
  resume_.assign(last->key());
  resuming_ = true;
}

bool RangeRead::filtered_by_mod(int64_t mod) const {
  return (options_.max_mod_revision != 0 && mod > options_.max_mod_revision) ||
         (options_.min_mod_revision != 0 && mod < options_.min_mod_revision);
}

bool RangeRead::take(KeyRecord* record, Version* version) {
  if (filtered_by_mod(version->main)) return true;
  items_.push_back({index_only_ ? from_index(record, version) : version->bytes(),
                    version->revision(), version->size});
  return !have_enough();
}

// key, create_revision, mod_revision and version of the head need no value. Empty when another
// version is asked for, or became the head meanwhile, and no value is in memory.
Bytes RangeRead::from_index(KeyRecord* record, Version* version) const {
  KeyValueView kv{.key = record->key(), .mod_revision = version->main};
  if (record->head.load(std::memory_order_acquire) == version) {
    kv.create_revision = record->create.load(std::memory_order_acquire);
    kv.version = record->version.load(std::memory_order_acquire);
    if (record->head.load(std::memory_order_acquire) == version) return encode_key_value(kv);
  }
  Bytes value = version->bytes();
  KeyValueView whole;
  if (value.empty() || !decode_key_value(value, &whole)) return Bytes();
  kv.create_revision = whole.create_revision;
  kv.version = whole.version;
  return encode_key_value(kv);
}

// False: it is read at once.
absl::StatusOr<bool> RangeRead::hold(RangeResult* result) {
  bool by_create = options_.min_create_revision != 0 || options_.max_create_revision != 0;
  if (!bounds_ || !options_.may_hold || options_.keys_only || by_create || is_sorted())
    return false;
  uint64_t lacking = 0;
  for (const Item& item : items_) lacking += item.kv.empty() ? item.size : 0;
  if (lacking <= bounds_->hold_above) return false;
  absl::StatusOr<std::shared_ptr<HeldRange>> held =
      HeldRange::begin(store_, revision_, items_.size());
  if (!held.ok()) return held.status();
  if (!*held) return false;
  limit(result);
  std::vector<HeldRange::Entry> entries;
  entries.reserve(items_.size());
  for (Item& item : items_) entries.push_back({std::move(item.kv), item.revision, item.size});
  (*held)->fill(std::move(entries), *bounds_->elsewhere);
  result->held = *std::move(held);
  return true;
}

void RangeRead::limit(RangeResult* result) {
  if (options_.limit <= 0 || items_.size() <= static_cast<uint64_t>(options_.limit)) return;
  items_.resize(static_cast<size_t>(options_.limit));
  result->more = true;
}

absl::Status RangeRead::read_back() {
  std::vector<size_t> missing;
  for (size_t i = 0; i < items_.size(); ++i) {
    if (items_[i].kv.empty()) missing.push_back(i);
  }
  if (missing.empty()) return absl::OkStatus();
  const bool in_memory = bounds_ && !bounds_->backend;
  auto refuse = [&] {
    bounds_->lacking = missing.size();
    return not_here();
  };
  if (in_memory && missing.size() > kReadBackBatch) return refuse();
  for (size_t from = 0; from < missing.size(); from += kReadBackBatch) {
    if (unwanted()) return gave_up();
    size_t n = std::min(kReadBackBatch, missing.size() - from);
    std::vector<Revision> revisions;
    for (size_t i = 0; i < n; ++i) revisions.push_back(items_[missing[from + i]].revision);
    KEELSON_FAILPOINT("mvcc_read_back");
    absl::StatusOr<std::vector<Bytes>> found;
    if (in_memory) {
      found.emplace();
      absl::StatusOr<bool> all = store_.read_back_in_memory(revisions, &*found);
      if (!all.ok()) return all.status();
      if (!*all) return refuse();
    } else {
      found = store_.read_back(revisions);
    }
    if (!found.ok()) return found.status();
    for (size_t i = 0; i < n; ++i) {
      Item& item = items_[missing[from + i]];
      item.kv = std::move((*found)[i]);
      if (!index_only_) continue;
      KeyValueView kv;
      CHECK(decode_key_value(item.kv, &kv));
      kv.value = {};
      kv.lease = 0;
      item.kv = encode_key_value(kv);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<RangeResult> StoreImpl::range(Epochs::Slot* slot, int64_t at, const KeyRange& keys,
                                             const RangeOptions& options,
                                             ReadBounds* bounds) const {
  return RangeRead(*this, slot, at, keys, options, bounds).run();
}

}  // namespace keelson::mvcc
