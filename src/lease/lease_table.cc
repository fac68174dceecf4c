#include "lease/lease_table.h"

#include <algorithm>
#include <array>
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
constexpr size_t kAhead = 16;  // leases to fetch ahead

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

struct LeaseTable::Lease {
  LeaseId id;
  int64_t ttl_seconds = 0;            // >= the least that is granted
  int64_t remaining_ttl_seconds = 0;  // as checkpointed; 0 or less: none
  uint32_t place = 0;                 // in roll_, which has the expiry, and in by_place_
  LeasedKeys keys;
  LeaseHeap::Node expiry_node;
  LeaseHeap::Node checkpoint_node;
  std::vector<Settled> waiting;

  int64_t effective_ttl() const {
    return remaining_ttl_seconds > 0 ? remaining_ttl_seconds : ttl_seconds;
  }
};

LeaseTable::LeaseTable(LeaseOptions options) : options_(options) {
  CHECK(options_.revoke_rate >= 2);
  CHECK(options_.min_ttl_seconds > 0);
  CHECK(options_.expired_retry_interval > Duration(0));
}

LeaseTable::~LeaseTable() = default;

// What holds between any two calls and costs nothing to ask.
void LeaseTable::check_sizes() const {
  CHECK(by_place_.size() == leases_.size());
  CHECK(roll_.size() == leases_.size());
  CHECK(expiries_.size() == (primary_ ? leases_.size() : 0));
  CHECK(checkpoints_.size() <= expiries_.size());
  CHECK(options_.checkpoints || checkpoints_.empty());
}

LeaseTable::Lease* LeaseTable::find(LeaseId id) const {
  auto it = leases_.find(id);
  return it == leases_.end() ? nullptr : it->second.get();
}

void LeaseTable::persist(const Lease& lease, backend::WriteBatch& batch) const {
  batch.put(backend::Bucket::kLease, encode_key(lease.id),
            encode_value({lease.id, lease.ttl_seconds, lease.remaining_ttl_seconds}));
}

LeaseTable::Lease& LeaseTable::add(LeaseId id) {
  std::unique_ptr<Lease>& made = leases_[id];
  CHECK(made == nullptr);
  CHECK(by_place_.size() < UINT32_MAX);
  made = std::make_unique<Lease>();
  made->id = id;
  made->place = static_cast<uint32_t>(by_place_.size());
  roll_.add(id, kForever);
  by_place_.push_back(made.get());
  return *made;
}

void LeaseTable::leave_place(const Lease& lease) {
  CHECK(lease.place < by_place_.size());
  CHECK(by_place_[lease.place] == &lease);
  roll_.remove(lease.place);
  by_place_.back()->place = lease.place;
  by_place_[lease.place] = by_place_.back();
  by_place_.pop_back();
}

MonotonicTime LeaseTable::expiry(const Lease& lease) const { return roll_.expiry(lease.place); }

bool LeaseTable::expired(const Lease& lease, MonotonicTime now) const {
  return expiry(lease) <= now;
}

void LeaseTable::refresh(Lease& lease, MonotonicTime now) {
  CHECK(primary_);
  MonotonicTime at = after_seconds(now, lease.effective_ttl(), Duration(0));
  CHECK(at > now);
  roll_.set_expiry(lease.place, at);
  expiries_.set({at, lease.id, &lease.expiry_node});
}

// Only a lease that outlives the interval is worth an entry in the log.
bool LeaseTable::worth_checkpoints(const Lease& lease) const {
  if (!options_.checkpoints) return false;
  auto interval = std::chrono::duration_cast<std::chrono::seconds>(options_.checkpoint_interval);
  return lease.effective_ttl() > interval.count();
}

void LeaseTable::schedule_checkpoint(Lease& lease, MonotonicTime now) {
  if (!worth_checkpoints(lease)) return;
  checkpoints_.set({now + options_.checkpoint_interval, lease.id, &lease.checkpoint_node});
}

absl::StatusOr<int64_t> LeaseTable::grant(LeaseId id, int64_t ttl_seconds, MonotonicTime now,
                                          backend::WriteBatch& batch) {
  if (id == kNoLease) return errors::LeaseNotFound();
  if (ttl_seconds > kMaxTtlSeconds) return errors::LeaseTTLTooLarge();
  if (leases_.contains(id)) return errors::LeaseExist();
  Lease& lease = add(id);
  lease.ttl_seconds = std::max(ttl_seconds, options_.min_ttl_seconds);
  persist(lease, batch);
  if (primary_) {
    refresh(lease, now);
    schedule_checkpoint(lease, now);
  }
  ++counters_.granted;
  check_sizes();
  return lease.ttl_seconds;
}

absl::StatusOr<std::vector<std::string>> LeaseTable::revoke(LeaseId id,
                                                            backend::WriteBatch& batch) {
  auto it = leases_.find(id);
  if (it == leases_.end()) return errors::LeaseNotFound();
  std::unique_ptr<Lease> lease = std::move(it->second);
  leases_.erase(it);
  leave_place(*lease);
  expiries_.erase(lease->expiry_node);
  checkpoints_.erase(lease->checkpoint_node);
  check_sizes();

  // All members must delete in the same order: the sub-revisions depend on it.
  for (size_t slot = 0; slot < lease->keys.size(); ++slot) {
    CHECK(keys_.erase(to_absl(lease->keys.at(slot).key)) == 1);
  }
  std::vector<std::string> keys = lease->keys.take_sorted();
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
  auto it = keys_.find(to_absl(key));
  Shared<LeasedKey> attached;
  if (it != keys_.end()) {
    if (it->second->lease == lease) return absl::OkStatus();
    attached = unlink(*it->second);
  } else {
    attached = Shared<LeasedKey>(new LeasedKey(key));
    keys_.emplace(to_absl(attached->key), attached.get());
  }
  attached->lease = lease;
  lease->keys.add(std::move(attached), &key_pieces_copied_);
  CHECK(lease->keys.size() <= keys_.size());
  return absl::OkStatus();
}

void LeaseTable::detach(std::string_view key) {
  auto it = keys_.find(to_absl(key));
  if (it == keys_.end()) return;
  const Shared<LeasedKey> gone = unlink(*it->second);
  keys_.erase(it);
}

Shared<LeasedKey> LeaseTable::unlink(LeasedKey& key) {
  Shared<LeasedKey> unlinked = lease_of(key).keys.remove(key.slot, &key_pieces_copied_);
  CHECK(unlinked.get() == &key);
  key.lease = nullptr;
  return unlinked;
}

LeaseTable::Lease& LeaseTable::lease_of(const LeasedKey& key) {
  CHECK(key.lease != nullptr);
  return *static_cast<Lease*>(key.lease);
}

void LeaseTable::promote(Duration extend, MonotonicTime now) {
  primary_ = true;
  std::vector<Start> starts;
  starts.reserve(by_place_.size());
  for (const Lease* lease : by_place_) {
    starts.push_back({after_seconds(now, lease->effective_ttl(), extend), lease->place});
  }
  if (starts.size() >= static_cast<size_t>(options_.revoke_rate)) spread_pile_ups(starts, now);

  std::vector<LeaseHeap::Entry> expiries, checkpoints;
  expiries.reserve(starts.size());
  for (size_t i = 0; i < starts.size(); ++i) {
    // They lie anywhere in memory: most of the time would go into waiting for them.
    if (i + kAhead < starts.size()) {
      __builtin_prefetch(&by_place_[starts[i + kAhead].place]->expiry_node, /*for writing*/ 1);
    }
    const Start& start = starts[i];
    Lease& lease = *by_place_[start.place];
    roll_.set_expiry(start.place, start.at);
    expiries.push_back({start.at, lease.id, &lease.expiry_node});
    if (worth_checkpoints(lease)) {
      checkpoints.push_back({now + options_.checkpoint_interval, lease.id, &lease.checkpoint_node});
    }
  }
  expiries_.rebuild(std::move(expiries));
  checkpoints_.rebuild(std::move(checkpoints));
  check_sizes();
}

// Stable, by counting, as all differ by whole seconds from the first and mostly by few of them: a
// comparing sort of a million takes half of what a promotion may.
void LeaseTable::sort_by_time(std::vector<Start>& starts) {
  constexpr size_t kBits = 11;
  constexpr size_t kDigits = size_t{1} << kBits;
  MonotonicTime first = kForever, last{Duration::min()};
  for (const Start& start : starts) {
    first = std::min(first, start.at);
    last = std::max(last, start.at);
  }
  // Nanoseconds may be too far apart to be subtracted as signed numbers.
  auto seconds = [first](MonotonicTime at) {
    return (static_cast<uint64_t>(at.since_origin.count()) -
            static_cast<uint64_t>(first.since_origin.count())) /
           static_cast<uint64_t>(kSecond.count());
  };
  std::vector<Start> sorted(starts.size());
  for (uint64_t most = seconds(last), shift = 0; most >> shift > 0; shift += kBits) {
    std::array<size_t, kDigits + 1> begin{};
    auto digit = [&](const Start& start) { return seconds(start.at) >> shift & (kDigits - 1); };
    for (const Start& start : starts) ++begin[digit(start) + 1];
    for (size_t i = 1; i <= kDigits; ++i) begin[i] += begin[i - 1];
    for (const Start& start : starts) sorted[begin[digit(start)]++] = start;
    starts.swap(sorted);
  }
}

// After a promotion the leases that had different times left all start over together. Where more
// of them than three quarters of the revoke rate end within a second, each later one is put off so
// that they end at that rate. (Three quarters: leases that end by themselves need room, too.)
void LeaseTable::spread_pile_ups(std::vector<Start>& starts, MonotonicTime now) const {
  sort_by_time(starts);
  const int target = 3 * options_.revoke_rate / 4;
  Duration window = starts.front().at - now;
  Duration window_end = window + kSecond;
  int ending = 0;
  for (Start& start : starts) {
    if (start.at == kForever) break;
    Duration remaining = start.at - now;
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
    start.at = after_seconds(start.at, 0, put_off);
  }
}

void LeaseTable::demote() {
  primary_ = false;
  expiries_.clear();
  checkpoints_.clear();
  for (Lease* lease : by_place_) {
    roll_.set_expiry(lease->place, kForever);
    settle(*lease, errors::NotLeader());
  }
  check_sizes();
}

absl::StatusOr<Renewal> LeaseTable::renew(LeaseId id, MonotonicTime now) {
  if (!primary_) return errors::NotLeader();
  Lease* lease = find(id);
  if (lease == nullptr) return errors::LeaseNotFound();
  if (expired(*lease, now)) return Renewal{.state = Renewal::State::kExpired};
  if (options_.checkpoints && lease->remaining_ttl_seconds > 0) {
    return Renewal{.state = Renewal::State::kClearCheckpointFirst};
  }
  refresh(*lease, now);
  ++counters_.renewed;
  return Renewal{.state = Renewal::State::kRenewed, .ttl_seconds = lease->ttl_seconds};
}

void LeaseTable::when_settled(LeaseId id, Settled settled) {
  CHECK(primary_);
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
    LeaseHeap::Entry entry = expiries_.top();
    expired.push_back(entry.id);
    // The proposal may be lost; the lease stays expired and is named again.
    entry.at = now + options_.expired_retry_interval;
    CHECK(entry.at > now);
    expiries_.set(entry);
  }
  CHECK(expired.size() <= most);
  return expired;
}

std::vector<Checkpoint> LeaseTable::take_due_checkpoints(MonotonicTime now, size_t max) {
  std::vector<Checkpoint> due;
  while (due.size() < max && !checkpoints_.empty() && checkpoints_.top().at <= now) {
    LeaseHeap::Entry entry = checkpoints_.top();
    checkpoints_.erase(*entry.node);
    const Lease* lease = find(entry.id);
    CHECK(lease != nullptr);
    if (expired(*lease, now)) continue;
    int64_t left = (expiry(*lease) - now + kSecond - Duration(1)) / kSecond;
    if (left >= lease->ttl_seconds) continue;
    due.push_back({lease->id, left});
  }
  return due;
}

absl::StatusOr<TimeToLive> LeaseTable::time_to_live(LeaseId id, MonotonicTime now) const {
  const Lease* lease = find(id);
  if (lease == nullptr) return errors::LeaseNotFound();
  if (!primary_ || expiry(*lease) == kForever) return errors::LeaderChanged();
  return TimeToLive{.granted_ttl_seconds = lease->ttl_seconds,
                    .remaining_seconds = (expiry(*lease) - now) / kSecond};
}

KeyListing LeaseTable::list_keys(LeaseId id) const {
  const Lease* lease = find(id);
  return lease == nullptr ? KeyListing() : lease->keys.list();
}

bool LeaseTable::all_have(LeaseId id, uint64_t property,
                          absl::FunctionRef<bool(std::string_view)> has) {
  Lease* lease = find(id);
  return lease == nullptr || lease->keys.all_have(property, has);
}

bool LeaseTable::has_keys(LeaseId id) const {
  const Lease* lease = find(id);
  return lease != nullptr && lease->keys.size() > 0;
}

LeaseId LeaseTable::lease_of(std::string_view key) const {
  auto it = keys_.find(to_absl(key));
  return it == keys_.end() ? kNoLease : lease_of(*it->second).id;
}

void LeaseTable::clear() {
  for (Lease* lease : by_place_) settle(*lease, errors::LeaseNotFound());
  expiries_.clear();
  checkpoints_.clear();
  keys_.clear();
  by_place_.clear();
  roll_.clear();
  leases_.clear();
  check_sizes();
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
  Lease& lease = add(record->id);
  lease.ttl_seconds = std::max(record->ttl_seconds, options_.min_ttl_seconds);
  lease.remaining_ttl_seconds = record->remaining_ttl_seconds;
  if (primary_) expiries_.set({kForever, lease.id, &lease.expiry_node});
  return absl::OkStatus();
}

void LeaseTable::check_invariants() const {
  expiries_.check_invariants();
  checkpoints_.check_invariants();
  check_sizes();
  size_t attached = 0;
  for (const auto& [id, lease] : leases_) {
    CHECK(lease->id == id);
    CHECK(id != kNoLease);
    CHECK(lease->ttl_seconds >= options_.min_ttl_seconds);
    CHECK(by_place_[lease->place] == lease.get());
    CHECK(roll_.id(lease->place) == id);
    if (!primary_) CHECK(expiry(*lease) == kForever);
    if (!primary_) CHECK(lease->waiting.empty());
    for (size_t slot = 0; slot < lease->keys.size(); ++slot) {
      CHECK(lease->keys.at(slot).lease == lease.get());
      CHECK(lease->keys.at(slot).slot == slot);
    }
    attached += lease->keys.size();
  }
  CHECK(attached == keys_.size());
  for (const auto& [text, key] : keys_) CHECK(from_absl(text) == key->key);
}

}  // namespace keelson::lease
