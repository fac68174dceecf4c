#include "lease/lease_table.h"

#include <algorithm>
#include <limits>

#include "base/check.h"
#include "base/errors.h"
#include "base/log.h"
#include "base/text.h"
#include "lease/lease_record.h"

namespace keelson::lease {

namespace {

constexpr MonotonicTime kForever{Duration::max()};
constexpr Duration kSecond = std::chrono::seconds(1);

// A TTL out of a record or a checkpoint may be anything; a sum must not wrap into the past.
MonotonicTime after_seconds(MonotonicTime now, int64_t seconds, Duration extend) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max() / 1'000'000'000;
  if (seconds > kMost) return kForever;
  int64_t at = 0;
  if (__builtin_add_overflow(now.since_origin.count(), extend.count(), &at)) return kForever;
  if (__builtin_add_overflow(at, seconds * 1'000'000'000, &at)) return kForever;
  return {Duration(at)};
}

}  // namespace

// One attached key. `slot` is its place in the lease's `items`, so that it leaves in O(1).
struct LeaseTable::Item {
  std::string key;
  Lease* lease = nullptr;
  uint32_t slot = 0;
};

struct LeaseTable::Lease {
  LeaseId id;
  int64_t ttl_seconds = 0;
  int64_t remaining_ttl_seconds = 0;  // as checkpointed; 0: none
  MonotonicTime expiry = kForever;    // kForever unless primary
  std::vector<Item*> items;
  LeaseHeap::Node expiry_node;
  LeaseHeap::Node checkpoint_node;
  std::vector<Settled> waiting;

  int64_t effective_ttl() const {
    return remaining_ttl_seconds > 0 ? remaining_ttl_seconds : ttl_seconds;
  }
  bool expired(MonotonicTime now) const { return expiry <= now; }
};

LeaseTable::LeaseTable(LeaseOptions options) : options_(options) {
  CHECK(options_.revoke_rate >= 2);
}

LeaseTable::~LeaseTable() = default;

LeaseTable::Lease* LeaseTable::find(LeaseId id) const {
  auto it = leases_.find(id);
  return it == leases_.end() ? nullptr : it->second.get();
}

void LeaseTable::persist(const Lease& lease, backend::WriteBatch& batch) const {
  batch.put(backend::Bucket::kLease, encode_key(lease.id),
            encode_value({lease.id, lease.ttl_seconds, lease.remaining_ttl_seconds}));
}

void LeaseTable::refresh(Lease& lease, Duration extend, MonotonicTime now) {
  lease.expiry = after_seconds(now, lease.effective_ttl(), extend);
  expiries_.set(lease.expiry_node, lease.expiry);
}

// Only a lease that outlives the interval is worth an entry in the log.
void LeaseTable::schedule_checkpoint(Lease& lease, MonotonicTime now) {
  if (!options_.checkpoints) return;
  auto interval = std::chrono::duration_cast<std::chrono::seconds>(options_.checkpoint_interval);
  if (lease.effective_ttl() <= interval.count()) return;
  checkpoints_.set(lease.checkpoint_node, now + options_.checkpoint_interval);
}

absl::StatusOr<int64_t> LeaseTable::grant(LeaseId id, int64_t ttl_seconds, MonotonicTime now,
                                          backend::WriteBatch& batch) {
  if (id == kNoLease) return errors::LeaseNotFound();
  if (ttl_seconds > kMaxTtlSeconds) return errors::LeaseTTLTooLarge();
  auto [it, added] = leases_.try_emplace(id);
  if (!added) return errors::LeaseExist();

  it->second = std::make_unique<Lease>();
  Lease& lease = *it->second;
  lease.id = lease.expiry_node.id = lease.checkpoint_node.id = id;
  lease.ttl_seconds = std::max(ttl_seconds, options_.min_ttl_seconds);
  persist(lease, batch);
  if (primary_) {
    refresh(lease, Duration(0), now);
    schedule_checkpoint(lease, now);
  }
  ++counters_.granted;
  return lease.ttl_seconds;
}

absl::StatusOr<std::vector<std::string>> LeaseTable::revoke(LeaseId id,
                                                            backend::WriteBatch& batch) {
  auto it = leases_.find(id);
  if (it == leases_.end()) return errors::LeaseNotFound();
  std::unique_ptr<Lease> lease = std::move(it->second);
  leases_.erase(it);
  expiries_.erase(lease->expiry_node);
  checkpoints_.erase(lease->checkpoint_node);

  std::vector<std::string> keys;
  keys.reserve(lease->items.size());
  for (Item* item : lease->items) {
    auto owned = items_.extract(to_absl(item->key));
    CHECK(!owned.empty());
    keys.push_back(std::move(owned.mapped()->key));
  }
  // All members must delete in the same order: the sub-revisions depend on it.
  std::sort(keys.begin(), keys.end());
  batch.del(backend::Bucket::kLease, encode_key(id));
  ++counters_.revoked;
  settle(*lease, errors::LeaseNotFound());
  return keys;
}

void LeaseTable::checkpoint(Checkpoint checkpoint, MonotonicTime now, backend::WriteBatch& batch) {
  Lease* lease = find(checkpoint.id);
  if (lease == nullptr) return;
  // The running expiry stays: the remaining TTL is for the next primary.
  lease->remaining_ttl_seconds = checkpoint.remaining_ttl_seconds;
  if (options_.persist_checkpoints) persist(*lease, batch);
  if (primary_) schedule_checkpoint(*lease, now);
}

absl::Status LeaseTable::attach(LeaseId id, std::string_view key) {
  Lease* lease = find(id);
  if (lease == nullptr) return errors::LeaseNotFound();
  auto it = items_.find(to_absl(key));
  Item* item = nullptr;
  if (it != items_.end()) {
    item = it->second.get();
    if (item->lease == lease) return absl::OkStatus();
    unlink(*item);
  } else {
    auto fresh = std::make_unique<Item>();
    fresh->key = key;
    item = fresh.get();
    items_.emplace(to_absl(item->key), std::move(fresh));
  }
  item->lease = lease;
  item->slot = static_cast<uint32_t>(lease->items.size());
  lease->items.push_back(item);
  return absl::OkStatus();
}

void LeaseTable::detach(std::string_view key) {
  auto it = items_.find(to_absl(key));
  if (it == items_.end()) return;
  unlink(*it->second);
  items_.erase(it);
}

void LeaseTable::unlink(Item& item) {
  std::vector<Item*>& items = item.lease->items;
  CHECK(item.slot < items.size());
  CHECK(items[item.slot] == &item);
  items[item.slot] = items.back();
  items[item.slot]->slot = item.slot;
  items.pop_back();
  item.lease = nullptr;
}

void LeaseTable::promote(Duration extend, MonotonicTime now) {
  primary_ = true;
  for (auto& [id, lease] : leases_) {
    refresh(*lease, extend, now);
    schedule_checkpoint(*lease, now);
  }
  if (leases_.size() >= static_cast<size_t>(options_.revoke_rate)) spread_pile_ups(extend, now);
}

// After a promotion the leases that had different times left all start over together. Where more
// of them than three quarters of the revoke rate end within a second, each later one is put off so
// that they end at that rate. (Three quarters: leases that end by themselves need room, too.)
void LeaseTable::spread_pile_ups(Duration extend, MonotonicTime now) {
  std::vector<Lease*> order;
  order.reserve(leases_.size());
  for (auto& [id, lease] : leases_) order.push_back(lease.get());
  std::sort(order.begin(), order.end(), [](const Lease* a, const Lease* b) {
    return a->expiry != b->expiry ? a->expiry < b->expiry : a->id < b->id;
  });

  const int target = 3 * options_.revoke_rate / 4;
  Duration window = order.front()->expiry - now;
  Duration window_end = window + kSecond;
  int ending = 0;
  for (Lease* lease : order) {
    if (lease->expiry == kForever) break;
    Duration remaining = lease->expiry - now;
    if (remaining > window_end) {
      window = remaining;
      window_end = window + kSecond;
      ending = 1;
      continue;
    }
    if (++ending <= target) continue;
    // A lease n seconds into the window needs n seconds less of delay.
    double delay = static_cast<double>(kSecond.count()) * ending / target -
                   static_cast<double>((remaining - window).count());
    auto put_off = Duration(static_cast<int64_t>(delay));
    window_end = window + put_off;
    refresh(*lease, put_off + extend, now);
    schedule_checkpoint(*lease, now);
  }
}

void LeaseTable::demote() {
  primary_ = false;
  expiries_.clear();
  checkpoints_.clear();
  for (auto& [id, lease] : leases_) {
    lease->expiry = kForever;
    settle(*lease, errors::NotLeader());
  }
}

absl::StatusOr<Renewal> LeaseTable::renew(LeaseId id, MonotonicTime now) {
  if (!primary_) return errors::NotLeader();
  Lease* lease = find(id);
  if (lease == nullptr) return errors::LeaseNotFound();
  if (lease->expired(now)) return Renewal{.state = Renewal::State::kExpired};
  if (options_.checkpoints && lease->remaining_ttl_seconds > 0) {
    return Renewal{.state = Renewal::State::kClearCheckpointFirst};
  }
  refresh(*lease, Duration(0), now);
  ++counters_.renewed;
  return Renewal{.state = Renewal::State::kRenewed, .ttl_seconds = lease->ttl_seconds};
}

void LeaseTable::when_settled(LeaseId id, Settled settled) {
  Lease* lease = find(id);
  CHECK(lease != nullptr);
  lease->waiting.push_back(std::move(settled));
}

void LeaseTable::settle(Lease& lease, const absl::Status& status) {
  for (Settled& settled : std::exchange(lease.waiting, {})) settled(status);
}

std::vector<LeaseId> LeaseTable::take_expired(MonotonicTime now) {
  std::vector<LeaseId> expired;
  const size_t most = static_cast<size_t>(options_.revoke_rate) / 2;
  while (expired.size() < most && !expiries_.empty() && expiries_.top().at <= now) {
    LeaseHeap::Node& node = expiries_.top();
    expired.push_back(node.id);
    // The proposal may be lost; the lease stays expired and is named again.
    expiries_.set(node, now + options_.expired_retry_interval);
  }
  return expired;
}

std::vector<Checkpoint> LeaseTable::take_due_checkpoints(MonotonicTime now, size_t max) {
  std::vector<Checkpoint> due;
  while (due.size() < max && !checkpoints_.empty() && checkpoints_.top().at <= now) {
    LeaseHeap::Node& node = checkpoints_.top();
    checkpoints_.erase(node);
    const Lease* lease = find(node.id);
    CHECK(lease != nullptr);
    if (lease->expired(now)) continue;
    int64_t left = (lease->expiry - now + kSecond - Duration(1)) / kSecond;
    if (left >= lease->ttl_seconds) continue;
    due.push_back({lease->id, left});
  }
  return due;
}

absl::StatusOr<TimeToLive> LeaseTable::time_to_live(LeaseId id, MonotonicTime now) const {
  const Lease* lease = find(id);
  if (lease == nullptr) return errors::LeaseNotFound();
  if (!primary_ || lease->expiry == kForever) return errors::LeaderChanged();
  return TimeToLive{.granted_ttl_seconds = lease->ttl_seconds,
                    .remaining_seconds = (lease->expiry - now) / kSecond};
}

std::vector<std::string> LeaseTable::keys(LeaseId id) const {
  std::vector<std::string> keys;
  if (const Lease* lease = find(id)) {
    keys.reserve(lease->items.size());
    for (const Item* item : lease->items) keys.push_back(item->key);
    std::sort(keys.begin(), keys.end());
  }
  return keys;
}

std::vector<LeaseId> LeaseTable::list() const {
  std::vector<std::pair<MonotonicTime, LeaseId>> order;
  order.reserve(leases_.size());
  for (const auto& [id, lease] : leases_) order.emplace_back(lease->expiry, id);
  std::sort(order.begin(), order.end());
  std::vector<LeaseId> ids;
  ids.reserve(order.size());
  for (const auto& [expiry, id] : order) ids.push_back(id);
  return ids;
}

LeaseId LeaseTable::lease_of(std::string_view key) const {
  auto it = items_.find(to_absl(key));
  return it == items_.end() ? kNoLease : it->second->lease->id;
}

void LeaseTable::clear() {
  for (auto& [id, lease] : leases_) settle(*lease, errors::LeaseNotFound());
  expiries_.clear();
  checkpoints_.clear();
  items_.clear();
  leases_.clear();
}

absl::Status LeaseTable::restore(const backend::Reader& reader) {
  clear();
  auto it = reader.iterate(backend::Bucket::kLease);
  for (it->seek_to_first(); it->valid(); it->next()) {
    if (absl::Status status = restore_record(it->key(), it->value()); !status.ok()) return status;
  }
  return it->status();
}

absl::Status LeaseTable::restore_record(std::string_view key, std::string_view value) {
  auto record = decode_record(key, value);
  if (!record.ok()) return record.status();
  auto lease = std::make_unique<Lease>();
  lease->id = lease->expiry_node.id = lease->checkpoint_node.id = record->id;
  lease->ttl_seconds = std::max(record->ttl_seconds, options_.min_ttl_seconds);
  lease->remaining_ttl_seconds = record->remaining_ttl_seconds;
  leases_[record->id] = std::move(lease);
  return absl::OkStatus();
}

void LeaseTable::check_invariants() const {
  expiries_.check_invariants();
  checkpoints_.check_invariants();
  if (!primary_) CHECK(expiries_.empty());
  if (!primary_) CHECK(checkpoints_.empty());
  if (!options_.checkpoints) CHECK(checkpoints_.empty());
  size_t attached = 0;
  for (const auto& [id, lease] : leases_) {
    CHECK(lease->id == id);
    CHECK(id != kNoLease);
    CHECK(lease->ttl_seconds >= options_.min_ttl_seconds);
    if (!primary_) CHECK(lease->expiry == kForever);
    if (!primary_) CHECK(lease->waiting.empty());
    for (size_t slot = 0; slot < lease->items.size(); ++slot) {
      CHECK(lease->items[slot]->lease == lease.get());
      CHECK(lease->items[slot]->slot == slot);
    }
    attached += lease->items.size();
  }
  CHECK(attached == items_.size());
  for (const auto& [key, item] : items_) CHECK(from_absl(key) == item->key);
}

}  // namespace keelson::lease
