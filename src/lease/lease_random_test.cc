// Random operations on LeaseTable and on a twin that is too simple to be wrong.

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/random.h"
#include "base/test_seeds.h"
#include "base/text.h"
#include "lease/lease_record.h"
#include "lease/lease_table.h"
#include "lease/map_reader.h"

namespace keelson::lease {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

// Everything by plain maps and full walks.
struct Twin {
  struct Lease {
    int64_t ttl = 0, remaining = 0;
    int64_t expiry = -1, named_next = -1;  // ns; -1: never
    std::set<std::string> keys;
    int waiting = 0;
  };
  LeaseOptions options;
  bool primary = false;
  int64_t now = 0;
  std::map<int64_t, Lease> leases;
  int not_found = 0, not_leader = 0;  // waiting renewals that were told so

  void refresh(Lease& lease, int64_t extend) {
    int64_t seconds = lease.remaining > 0 ? lease.remaining : lease.ttl;
    lease.expiry = lease.named_next = now + extend + seconds * kSecond;
  }
  void promote(int64_t extend) {
    primary = true;
    for (auto& [id, lease] : leases) refresh(lease, extend);
  }
  void demote() {
    primary = false;
    for (auto& [id, lease] : leases) {
      lease.expiry = lease.named_next = -1;
      not_leader += std::exchange(lease.waiting, 0);
    }
  }
  void detach(const std::string& key) {
    for (auto& [id, lease] : leases) lease.keys.erase(key);
  }
  int64_t lease_of(const std::string& key) const {
    for (const auto& [id, lease] : leases) {
      if (lease.keys.contains(key)) return id;
    }
    return 0;
  }
  std::vector<LeaseId> take_expired() {
    std::vector<std::pair<int64_t, int64_t>> due;
    for (auto& [id, lease] : leases) {
      if (lease.named_next >= 0 && lease.named_next <= now) due.emplace_back(lease.named_next, id);
    }
    std::sort(due.begin(), due.end());
    due.resize(std::min<size_t>(due.size(), options.revoke_rate / 2));
    std::vector<LeaseId> ids;
    for (auto [at, id] : due) {
      ids.push_back(LeaseId(id));
      leases[id].named_next = now + options.expired_retry_interval.count();
    }
    return ids;
  }
};

class Pair {
 public:
  explicit Pair(uint64_t seed) : random_(seed) {
    options_.min_ttl_seconds = 2;
    options_.revoke_rate = 200;  // more than there are leases: no spreading
    twin_.options = options_;
    table_ = std::make_unique<LeaseTable>(options_);
  }

  void step() {
    switch (random_.below(14)) {
      case 0:
      case 1:
        return grant();
      case 2:
        return revoke();
      case 3:
      case 4:
      case 5:
        return attach();
      case 6:
        return detach();
      case 7:
        return random_.below(8) == 0 ? promote() : renew();
      case 8:
        if (random_.below(8) == 0) demote();
        return;
      case 9:
        return renew();
      case 10:
        return checkpoint();
      case 11:
        return expired();
      case 12:
        if (random_.below(20) == 0) restart();
        return;
      default:
        twin_.now += static_cast<int64_t>(random_.below(2 * kSecond));
    }
  }

  void compare() {
    table_->check_invariants();
    ASSERT_EQ(table_->size(), twin_.leases.size());
    ASSERT_EQ(not_found_, twin_.not_found);
    ASSERT_EQ(not_leader_, twin_.not_leader);
    ASSERT_EQ(reader_.records.size(), twin_.leases.size());
    for (const auto& [id, lease] : twin_.leases) compare(id, lease);
    for (int i = 0; i < 12; ++i) {
      ASSERT_EQ(table_->lease_of(cat("k", i)).value, twin_.lease_of(cat("k", i)));
    }
  }

 private:
  MonotonicTime now() const { return {Duration(twin_.now)}; }
  LeaseId any_id() { return LeaseId(static_cast<int64_t>(random_.below(9)) - 1); }
  std::string any_key() { return cat("k", random_.below(12)); }

  void compare(int64_t id, const Twin::Lease& lease) {
    std::vector<std::string> keys(lease.keys.begin(), lease.keys.end());
    ASSERT_EQ(table_->list_keys(LeaseId(id)).sorted(), keys);
    auto ttl = table_->time_to_live(LeaseId(id), now());
    ASSERT_EQ(ttl.ok(), lease.expiry >= 0) << ttl.status();
    if (ttl.ok()) {
      ASSERT_EQ(ttl->granted_ttl_seconds, lease.ttl);
      ASSERT_EQ(ttl->remaining_seconds, (lease.expiry - twin_.now) / kSecond);
    }
    LeaseRecord record{LeaseId(id), lease.ttl, lease.remaining};
    ASSERT_EQ(reader_.records[encode_key(LeaseId(id))], encode_value(record));
  }

  void grant() {
    LeaseId id = any_id();
    int64_t ttl = static_cast<int64_t>(random_.below(12));
    backend::WriteBatch batch;
    bool ok = table_->grant(id, ttl, now(), batch).ok();
    reader_.apply(batch);
    ASSERT_EQ(ok, id.value != 0 && !twin_.leases.contains(id.value));
    if (!ok) return;
    Twin::Lease& lease = twin_.leases[id.value];
    lease.ttl = std::max<int64_t>(ttl, options_.min_ttl_seconds);
    if (twin_.primary) twin_.refresh(lease, 0);
  }

  void revoke() {
    LeaseId id = any_id();
    backend::WriteBatch batch;
    auto keys = table_->revoke(id, batch);
    reader_.apply(batch);
    auto it = twin_.leases.find(id.value);
    ASSERT_EQ(keys.ok(), it != twin_.leases.end());
    if (!keys.ok()) return;
    ASSERT_EQ(*keys, std::vector<std::string>(it->second.keys.begin(), it->second.keys.end()));
    twin_.not_found += it->second.waiting;
    twin_.leases.erase(it);
  }

  void attach() {
    LeaseId id = any_id();
    std::string key = any_key();
    bool ok = table_->attach(id, key).ok();
    ASSERT_EQ(ok, twin_.leases.contains(id.value));
    if (!ok) return;
    twin_.detach(key);
    twin_.leases[id.value].keys.insert(key);
  }

  void detach() {
    std::string key = any_key();
    table_->detach(key);
    twin_.detach(key);
  }

  void promote() {
    auto extend = static_cast<int64_t>(random_.below(kSecond));
    table_->promote(Duration(extend), now());
    twin_.promote(extend);
  }

  void demote() {
    table_->demote();
    twin_.demote();
  }

  void renew() {
    LeaseId id = any_id();
    auto renewal = table_->renew(id, now());
    auto it = twin_.leases.find(id.value);
    if (!twin_.primary || it == twin_.leases.end()) {
      ASSERT_EQ(renewal.status().code(), twin_.primary ? absl::StatusCode::kNotFound
                                                       : absl::StatusCode::kFailedPrecondition);
      return;
    }
    Twin::Lease& lease = it->second;
    ASSERT_TRUE(renewal.ok());
    if (lease.expiry >= 0 && lease.expiry <= twin_.now) {
      ASSERT_EQ(renewal->state, Renewal::State::kExpired);
      ++lease.waiting;
      table_->when_settled(id, [this](absl::Status status) {
        ++(status.code() == absl::StatusCode::kNotFound ? not_found_ : not_leader_);
      });
      return;
    }
    ASSERT_EQ(renewal->state, Renewal::State::kRenewed);
    ASSERT_EQ(renewal->ttl_seconds, lease.ttl);
    twin_.refresh(lease, 0);
  }

  void checkpoint() {
    LeaseId id = any_id();
    auto remaining = static_cast<int64_t>(random_.below(10));
    backend::WriteBatch batch;
    table_->checkpoint({id, remaining}, now(), batch);
    reader_.apply(batch);
    auto it = twin_.leases.find(id.value);
    if (it != twin_.leases.end()) it->second.remaining = remaining;
  }

  void expired() { ASSERT_EQ(table_->take_expired(now()), twin_.take_expired()); }

  void restart() {
    table_->demote();
    twin_.demote();
    table_ = std::make_unique<LeaseTable>(options_);
    ASSERT_TRUE(table_->restore(reader_).ok());
    for (const auto& [id, lease] : twin_.leases) {
      for (const std::string& key : lease.keys) ASSERT_TRUE(table_->attach(LeaseId(id), key).ok());
    }
  }

  SeededRandom random_;
  LeaseOptions options_;
  Twin twin_;
  MapReader reader_;
  int not_found_ = 0, not_leader_ = 0;
  std::unique_ptr<LeaseTable> table_;
};

TEST(LeaseRandom, AgreesWithTwin) {
  for_each_seed(40, [](uint64_t seed) {
    Pair pair(seed);
    for (int i = 0; i < 3000 && !HasFailure(); ++i) {
      pair.step();
      pair.compare();
    }
  });
}

// Places in the heap are given a few times per lease, not log n times; the order is right.
TEST(LeaseRandom, APromotionBuildsTheOrderInOneGo) {
  for_each_seed(3, [](uint64_t seed) {
    SeededRandom random(seed);
    constexpr int64_t kLeases = 20'000;
    LeaseOptions options;
    options.revoke_rate = 2 * kLeases;
    LeaseTable table(options);
    MonotonicTime now{std::chrono::seconds(1)};
    backend::WriteBatch batch;
    std::vector<std::pair<int64_t, int64_t>> order;
    for (int64_t i = 0; i < kLeases; ++i) {
      auto id = static_cast<int64_t>(random.next() >> 1);
      auto ttl = 2 + static_cast<int64_t>(random.below(1000));
      ASSERT_TRUE(table.grant(LeaseId(id), ttl, now, batch).ok());
      order.emplace_back(ttl, id);
    }
    table.promote(Duration(0), now);
    EXPECT_LE(table.heap_moves(), 4u * kLeases);
    table.check_invariants();
    std::sort(order.begin(), order.end());
    std::vector<LeaseId> ids;
    for (auto [ttl, id] : order) ids.push_back(LeaseId(id));
    EXPECT_EQ(table.list().by_expiry(), ids);
    EXPECT_EQ(table.take_expired(now + std::chrono::seconds(2000)), ids);
  });
}

// Spreading does not put an entry in place a second time.
TEST(LeaseRandom, SpreadLeasesAreOrderedOnce) {
  constexpr int64_t kLeases = 20'000;
  LeaseTable table{LeaseOptions{}};
  MonotonicTime now{std::chrono::seconds(1)};
  backend::WriteBatch batch;
  for (int64_t id = 1; id <= kLeases; ++id) {
    ASSERT_TRUE(table.grant(LeaseId(id), 60, now, batch).ok());
  }
  table.promote(Duration(0), now);
  EXPECT_LE(table.heap_moves(), 4u * kLeases);
  table.check_invariants();
  // 750 end in a second.
  EXPECT_EQ(table.time_to_live(LeaseId(1), now)->remaining_seconds, 60);
  EXPECT_EQ(table.time_to_live(LeaseId(kLeases), now)->remaining_seconds, 60 + kLeases / 750);
}

// The same of a lease's keys, some of which go from lease to lease.
TEST(LeaseRandom, AListingOfKeysStaysAsItWas) {
  constexpr uint64_t kKeys = 12'000;
  constexpr int64_t kLeases = 3;
  for_each_seed(3, [](uint64_t seed) {
    SeededRandom random(seed);
    LeaseTable table{LeaseOptions{}};
    const MonotonicTime now{std::chrono::seconds(1)};
    backend::WriteBatch batch;
    std::map<int64_t, std::set<std::string>> keys;
    std::vector<std::pair<KeyListing, std::set<std::string>>> listings;
    for (int i = 0; i < 80'000; ++i) {
      const auto id = 1 + static_cast<int64_t>(random.below(kLeases));
      if (!table.exists(LeaseId(id))) ASSERT_TRUE(table.grant(LeaseId(id), 60, now, batch).ok());
      const std::string key = cat("key", random.below(kKeys));
      for (auto& [lease, its] : keys) its.erase(key);
      if (random.below(4) == 0) {
        table.detach(key);
      } else {
        ASSERT_TRUE(table.attach(LeaseId(id), key).ok());
        keys[id].insert(key);
      }
      if (i % 4000 == 3999) listings.emplace_back(table.list_keys(LeaseId(id)), keys[id]);
      if (i % 20'000 == 19'999) {
        auto gone = table.revoke(LeaseId(id), batch);
        ASSERT_TRUE(gone.ok());
        ASSERT_EQ(*gone, std::vector<std::string>(keys[id].begin(), keys[id].end()));
        keys[id].clear();
      }
      batch.clear();
    }
    table.check_invariants();
    for (const auto& [listing, then] : listings) {
      EXPECT_EQ(listing.size(), then.size());
      EXPECT_EQ(listing.sorted(), std::vector<std::string>(then.begin(), then.end()));
      std::set<std::string> visited;
      EXPECT_TRUE(listing.every(
          [&](std::string_view key) { return visited.insert(std::string(key)).second; }));
      EXPECT_EQ(visited, then);
      size_t left = then.size() / 2;
      EXPECT_EQ(listing.every([&](std::string_view) { return left-- > 0; }), then.empty());
    }
  });
}

// What was found out of keys counts for them alone: not for who has their place then.
TEST(LeaseRandom, PropertiesOfKeysAreRemembered) {
  for_each_seed(10, [](uint64_t seed) {
    SeededRandom random(seed);
    LeaseTable table{LeaseOptions{}};
    backend::WriteBatch batch;
    constexpr int64_t kLeases = 2;
    std::map<int64_t, std::set<std::string>> keys;
    const uint64_t different = 1 + random.below(400);
    uint64_t all = 0, some = 0;
    for (int i = 0; i < 10'000; ++i) {
      const auto id = 1 + static_cast<int64_t>(random.below(kLeases));
      if (!table.exists(LeaseId(id))) {
        ASSERT_TRUE(table.grant(LeaseId(id), 60, {}, batch).ok());
      }
      const std::string key = cat("key", random.below(different));
      // Keys that have not all properties are rare, so that they are mostly found by themselves.
      const bool may_lack = random.below(30) == 0;
      const std::string named = may_lack ? cat(key, "-", random.below(6)) : key;
      for (auto& [lease, its] : keys) its.erase(named);
      if (may_lack ? random.below(3) != 0 : random.below(3) == 0) {
        table.detach(named);
      } else {
        ASSERT_TRUE(table.attach(LeaseId(id), named).ok());
        keys[id].insert(named);
      }
      const uint64_t property = 1 + random.below(6);
      const std::string without = cat("-", property - 1);
      const auto has = [&](std::string_view text) { return !text.ends_with(without); };
      const bool expected = std::all_of(keys[id].begin(), keys[id].end(), has);
      ASSERT_EQ(table.all_have(LeaseId(id), property, has), expected);
      ++(expected ? all : some);
      if (random.below(4000) == 0) {
        ASSERT_TRUE(table.revoke(LeaseId(id), batch).ok());
        keys[id].clear();
      }
      batch.clear();
    }
    EXPECT_GT(all, 0u);
    if (different > 20) EXPECT_GT(some, 0u);
  });
}

// Whoever adds keys, takes some away and asks each time pays for what has changed.
TEST(LeaseRandom, APropertyIsAskedForOnce) {
  LeaseTable table{LeaseOptions{}};
  backend::WriteBatch batch;
  ASSERT_TRUE(table.grant(LeaseId(1), 60, {}, batch).ok());
  constexpr int kKeys = 10'000;
  uint64_t asked = 0;
  bool allowed = true;
  const auto has = [&](std::string_view) {
    ++asked;
    return allowed;
  };
  for (int i = 0; i < kKeys; ++i) {
    ASSERT_TRUE(table.attach(LeaseId(1), cat("key", i)).ok());
    ASSERT_TRUE(table.all_have(LeaseId(1), 1, has));
  }
  EXPECT_EQ(asked, uint64_t{kKeys});
  for (int i = 0; i < kKeys; ++i) {
    ASSERT_TRUE(table.attach(LeaseId(1), cat("new", i)).ok());
    table.detach(cat("key", i));
    ASSERT_TRUE(table.all_have(LeaseId(1), 1, has));
  }
  EXPECT_LE(asked, uint64_t{3 * kKeys});
  // Nobody is asked in between: no more than all of them in the end.
  for (int i = 0; i < kKeys; ++i) {
    ASSERT_TRUE(table.attach(LeaseId(1), cat("key", i)).ok());
    table.detach(cat("new", i));
  }
  asked = 0;
  ASSERT_TRUE(table.all_have(LeaseId(1), 1, has));
  EXPECT_LE(asked, uint64_t{2 * kKeys});
  // Who is refused costs one question.
  asked = 0;
  allowed = false;
  for (int i = 0; i < 10; ++i) ASSERT_FALSE(table.all_have(LeaseId(1), 2, has));
  EXPECT_EQ(asked, 10u);
  // As many as are remembered take turns.
  allowed = true;
  for (uint64_t property : {1, 2, 3, 4}) ASSERT_TRUE(table.all_have(LeaseId(1), property, has));
  asked = 0;
  for (uint64_t property : {1, 2, 3, 4}) ASSERT_TRUE(table.all_have(LeaseId(1), property, has));
  EXPECT_EQ(asked, 0u);
}

TEST(LeaseRandom, AListingOfKeysTouchesNone) {
  LeaseTable table{LeaseOptions{}};
  backend::WriteBatch batch;
  ASSERT_TRUE(table.grant(LeaseId(1), 60, {}, batch).ok());
  constexpr int kKeys = 100'000;
  for (int i = 0; i < kKeys; ++i) ASSERT_TRUE(table.attach(LeaseId(1), cat("key", i)).ok());
  std::vector<KeyListing> listings;
  for (int i = 0; i < 100; ++i) listings.push_back(table.list_keys(LeaseId(1)));
  EXPECT_EQ(table.key_pieces_copied(), 0u);
  // The piece of the one that goes, and the last one.
  table.detach("key5");
  table.detach("key6");
  EXPECT_EQ(table.key_pieces_copied(), 2u);
  for (const KeyListing& listing : listings) EXPECT_EQ(listing.size(), size_t{kKeys});
  EXPECT_EQ(listings.front().sorted().size(), size_t{kKeys});
}

// A listing is what was there then, whatever happens afterwards; and what it costs the table is a
// copy of the pieces that change, not of all.
// A listing that is gone leaves a piece that only the roll has, and that is copied all the same.
// (AddressSanitizer is who sees what was wrong here.)
TEST(LeaseRandom, WhoTakesAPlaceComesFromAPieceThatIsCopied) {
  LeaseRoll roll;
  for (int64_t id = 1; id <= 10; ++id) roll.add(LeaseId(id), {Duration(id)});
  for (int64_t last = 10; last > 5; --last) {
    EXPECT_EQ(roll.list().size(), static_cast<size_t>(last));
    roll.remove(0);
    EXPECT_EQ(roll.id(0), LeaseId(last));
    EXPECT_EQ(roll.expiry(0), MonotonicTime{Duration(last)});
  }
}

TEST(LeaseRandom, AListingStaysAsItWas) {
  for_each_seed(3, [](uint64_t seed) {
    SeededRandom random(seed);
    LeaseTable table{LeaseOptions{}};
    MonotonicTime now{std::chrono::seconds(1)};
    table.promote(Duration(0), now);
    backend::WriteBatch batch;
    std::set<int64_t> alive;
    std::vector<std::pair<LeaseListing, std::set<int64_t>>> listings;
    for (int i = 0; i < 60'000; ++i) {
      auto id = 1 + static_cast<int64_t>(random.below(8000));
      if (table.grant(LeaseId(id), 1000, now, batch).ok()) {
        alive.insert(id);
      } else if (random.below(3) == 0) {
        ASSERT_TRUE(table.revoke(LeaseId(id), batch).ok());
        alive.erase(id);
      } else {
        ASSERT_TRUE(table.renew(LeaseId(id), now = now + Duration(1)).ok());
      }
      if (i % 5000 == 4999) listings.emplace_back(table.list(), alive);
      batch.clear();
    }
    for (const auto& [listing, then] : listings) {
      std::set<int64_t> ids;
      for (LeaseId id : listing.by_expiry()) EXPECT_TRUE(ids.insert(id.value).second);
      EXPECT_EQ(ids, then);
      EXPECT_EQ(listing.size(), then.size());
    }
    // 8 pieces at most, each once after each listing.
    EXPECT_LE(table.pieces_copied(), 8u * listings.size());
    uint64_t before = table.pieces_copied();
    for (int i = 0; i < 1000; ++i) EXPECT_EQ(table.list().size(), alive.size());
    EXPECT_EQ(table.pieces_copied(), before);
  });
}

// 100,000 leases with keys: nothing here may be slower than logarithmic.
TEST(LeaseRandom, ManyLeases) {
  LeaseTable table{LeaseOptions{}};
  MonotonicTime now{std::chrono::seconds(1)};
  table.promote(Duration(0), now);
  backend::WriteBatch batch;
  SeededRandom random(7);
  constexpr int64_t kLeases = 100'000;
  for (int64_t id = 1; id <= kLeases; ++id) {
    ASSERT_TRUE(
        table.grant(LeaseId(id), 10 + static_cast<int64_t>(random.below(100)), now, batch).ok());
    ASSERT_TRUE(table.attach(LeaseId(id), cat("/registry/leases/", id)).ok());
  }
  for (int i = 0; i < 1'000'000; ++i) {
    now = now + Duration(1000);
    ASSERT_TRUE(table.renew(LeaseId(1 + static_cast<int64_t>(random.below(kLeases))), now).ok());
  }
  table.check_invariants();
  now = now + std::chrono::seconds(200);
  int64_t revoked = 0;
  for (auto ids = table.take_expired(now); !ids.empty(); ids = table.take_expired(now)) {
    ASSERT_LE(ids.size(), 500u);
    for (LeaseId id : ids) revoked += table.revoke(id, batch).ok();
  }
  EXPECT_EQ(revoked, kLeases);
  EXPECT_EQ(table.size(), 0u);
}

}  // namespace
}  // namespace keelson::lease
