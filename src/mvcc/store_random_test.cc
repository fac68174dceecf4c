// Random histories against the slow twin: transactions, compactions in slices, reads of every kind
// at old and new revisions, events, history, hashes, restarts and crashes.

#include <gtest/gtest.h>

#include <algorithm>
#include <future>
#include <optional>
#include <random>

#include "backend/memory_backend.h"
#include "backend/rocks/fault_files.h"
#include "backend/rocks/rocks_backend.h"
#include "base/errors.h"
#include "base/random.h"
#include "base/test_seeds.h"
#include "base/text.h"
#include "mvcc/slow_store.h"
#include "mvcc/store.h"

namespace keelson::mvcc {
namespace {

using backend::Bucket;
using backend::MemoryBackend;

struct Setup {
  uint64_t seed = 0;
  uint64_t value_memory;
  size_t ring;
  uint64_t keys;
  int rounds;
  bool rocks = false;
};

// The backend below the store, and how it loses what was not flushed.
class Machine {
 public:
  explicit Machine(bool rocks) {
    if (rocks) {
      disk_.emplace(1);
      open();
    } else {
      backend_ = std::make_unique<MemoryBackend>();
    }
  }
  backend::Backend& backend() { return *backend_; }
  void crash() {
    if (disk_) {
      backend_.reset();
      disk_ = disk_->after_power_loss();
      open();
    } else {
      static_cast<MemoryBackend&>(*backend_).crash();
    }
  }

 private:
  void open() {
    backend::RocksOptions options{.opening_threads = 1, .flush_on_close = false};
    options.files = disk_->files();
    auto opened = backend::open_rocks_backend("/member/keelson", options);
    ASSERT_TRUE(opened.ok()) << opened.status();
    backend_ = *std::move(opened);
  }
  std::optional<backend::FaultFiles> disk_;  // under RocksDB
  std::unique_ptr<backend::Backend> backend_;
};

class RandomHistory {
 public:
  explicit RandomHistory(const Setup& setup)
      : setup_(setup), random_(setup.seed), machine_(setup.rocks) {
    open();
  }
  ~RandomHistory() { close(); }

  void run() {
    for (int round = 0; round < setup_.rounds && !::testing::Test::HasFailure(); ++round) {
      for (uint64_t n = random_.below(3) + 1; n > 0; --n) transaction();
      if (random_.below(12) == 0) compact();
      publish();
      if (random_.below(3) == 0) compaction_slice();
      for (int i = 0; i < 4; ++i) check_range();
      if (random_.below(4) == 0) check_history();
      if (random_.below(6) == 0) check_hash();
      if (!kv_hash_ && random_.below(20) == 0) begin_kv_hash();
      if (kv_hash_ && random_.below(2) == 0) step_kv_hash();
      if (overtaken_hash_ && random_.below(2) == 0) step_overtaken_hash();
      if (random_.below(10) == 0) flush();
      if (random_.below(40) == 0) restart(random_.below(2) == 0);
      if (random_.below(10) == 0) warm();
      store_->check_invariants();
    }
    finish();
    check_bucket();
    check_hash();
  }

 private:
  // Pairs where one is a prefix of the other, long common prefixes, zero bytes.
  std::string key() {
    uint64_t n = random_.below(setup_.keys);
    switch (n % 4) {
      case 0:
        return cat("/registry/pods/default/pod-", n);
      case 1:
        return cat("/registry/pods/default/pod-", n / 2, "-a-long-tail");
      case 2:
        return std::string(n % 40 + 1, static_cast<char>('a' + n % 3));
      default:
        return cat("k", std::string(n % 9, '\0'), n % 5);
    }
  }
  std::string range_end() {
    switch (random_.below(5)) {
      case 0:
        return std::string(1, '\0');
      case 1:
        return "";
      case 2:
        return "/registry0";
      default:
        return key();
    }
  }
  int64_t lease() { return random_.below(3) == 0 ? static_cast<int64_t>(random_.below(4)) : 0; }

  void open() {
    auto opened = Store::open(&machine_.backend(),
                              {.value_memory = setup_.value_memory, .liveness_ring = setup_.ring});
    ASSERT_TRUE(opened.ok()) << opened.status();
    store_ = *std::move(opened);
    slot_ = store_->register_reader();
    check_leases();
  }
  void close() {
    pending_hash_.reset();
    overtaken_hash_.reset();
    kv_hash_.reset();
    slot_.reset();
    store_.reset();
  }

  // One change per key and transaction, as etcd's validation has it.
  void transaction() {
    WriteTxn txn = store_->begin();
    std::set<std::string> touched;
    int64_t main = model_.revision + 1, sub = 0;
    ASSERT_EQ(txn.first_revision(), model_.revision);
    for (uint64_t n = random_.below(5); n > 0; --n) {
      if (random_.below(4) == 0) {
        remove(txn, touched, main, &sub);
      } else {
        put(txn, touched, main, &sub);
      }
      if (random_.below(3) == 0) check_range(&txn, sub > 0 ? main : main - 1);
    }
    ASSERT_EQ(txn.changes(), static_cast<size_t>(sub));
    if (sub > 0) model_.revision = main;
  }

  void put(WriteTxn& txn, std::set<std::string>& touched, int64_t main, int64_t* sub) {
    std::string k = key(), value(random_.below(60), static_cast<char>('a' + random_.below(26)));
    if (!touched.insert(k).second) return;
    const SlowChange* before = model_.visible(k, main);
    PutRequest request{.key = k,
                       .value = value,
                       .lease = LeaseId(lease()),
                       .ignore_value = random_.below(8) == 0,
                       .ignore_lease = random_.below(8) == 0,
                       .prev_kv = random_.below(3) == 0};
    ASSERT_EQ(txn.exists(k), before != nullptr);
    if (!before && (request.ignore_value || request.ignore_lease)) return;
    auto result = txn.put(request);
    ASSERT_TRUE(result.ok()) << result.status();
    ASSERT_EQ(result->revision, main);
    ASSERT_EQ(result->prev_kv.str(), request.prev_kv && before ? before->encoded() : "");
    SlowChange change{.revision = {main, (*sub)++}, .key = k};
    change.value = request.ignore_value ? before->value : value;
    change.lease = request.ignore_lease ? before->lease : request.lease.value;
    change.create = before ? before->create : main;
    change.version = before ? before->version + 1 : 1;
    add(change);
  }

  void remove(WriteTxn& txn, std::set<std::string>& touched, int64_t main, int64_t* sub) {
    if (random_.below(4) == 0) return remove_keys(txn, touched, main, sub);
    std::string k = key(), end = random_.below(3) == 0 ? range_end() : "";
    std::vector<SlowChange> doomed = model_.all_visible(k, end, main);
    for (const SlowChange& change : doomed) {
      if (touched.contains(change.key)) return;
    }
    if (doomed.size() > 20 && random_.below(4) != 0) return;
    bool prev_kv = random_.below(2) == 0;
    auto result = txn.delete_range(k, end, prev_kv);
    ASSERT_TRUE(result.ok()) << result.status();
    ASSERT_EQ(result->deleted, static_cast<int64_t>(doomed.size()));
    ASSERT_EQ(result->prev_kvs.size(), prev_kv ? doomed.size() : 0);
    for (size_t i = 0; i < doomed.size(); ++i) {
      if (prev_kv) {
        ASSERT_EQ(result->prev_kvs[i].str(), doomed[i].encoded());
      }
      touched.insert(doomed[i].key);
      add({.revision = {main, (*sub)++}, .key = doomed[i].key, .tombstone = true});
    }
    ASSERT_EQ(result->revision, *sub > 0 ? main : main - 1);
  }

  // Some of which may not exist.
  void remove_keys(WriteTxn& txn, std::set<std::string>& touched, int64_t main, int64_t* sub) {
    std::set<std::string> some;
    for (uint64_t n = random_.below(6); n > 0; --n) some.insert(key());
    std::erase_if(some, [&](const std::string& k) { return touched.contains(k); });
    std::vector<std::string> keys(some.begin(), some.end());
    int64_t deleted = txn.delete_keys(keys).deleted;
    for (const std::string& k : keys) {
      if (model_.all_visible(k, "", main).empty()) continue;
      touched.insert(k);
      add({.revision = {main, (*sub)++}, .key = k, .tombstone = true});
      --deleted;
    }
    ASSERT_EQ(deleted, 0);
  }

  void add(const SlowChange& change) {
    model_.changes.push_back(change);
    unpublished_.push_back(change);
  }

  void publish() {
    int64_t before = store_->revision();
    auto events = store_->publish(++index_, Term(1));
    ASSERT_TRUE(events.ok()) << events.status();
    ASSERT_EQ(store_->revision(), model_.revision);
    ASSERT_EQ(*events == nullptr, before == model_.revision);
    if (*events) check_events(unpublished_, (*events)->events, before + 1, model_.revision);
    unpublished_.clear();
    if (before_compaction_ && !pending_hash_) take_hash();
  }

  void check_events(const std::vector<SlowChange>& changes, const std::vector<Event>& events,
                    int64_t from, int64_t to) {
    size_t i = 0;
    for (const SlowChange& change : changes) {
      if (change.revision.main < from || change.revision.main > to) continue;
      ASSERT_LT(i, events.size());
      const Event& event = events[i++];
      ASSERT_EQ(event.revision, change.revision);
      ASSERT_EQ(event.key, change.key);
      ASSERT_EQ(event.type == EventType::kDelete, change.tombstone);
      std::string kv =
          change.tombstone
              ? encode_key_value({.key = change.key, .mod_revision = change.revision.main}).str()
              : change.encoded();
      ASSERT_EQ(event.kv.str(), kv);
      ASSERT_EQ(event.create_revision, change.create);
      auto previous = store_->previous_kv(*slot_, event);
      ASSERT_TRUE(previous.ok()) << previous.status();
      int64_t at = change.revision.main - 1;
      const SlowChange* expected = model_.visible(change.key, at);
      // Gone with a compaction: both answers are right, the event may carry it still.
      if (at < model_.compacted) continue;
      ASSERT_EQ(previous->str(), expected ? expected->encoded() : "") << change.key << " @" << at;
    }
    ASSERT_EQ(i, events.size());
  }

  void check_history() {
    int64_t from = static_cast<int64_t>(random_.below(static_cast<uint64_t>(model_.revision))) + 1;
    int64_t to = from + static_cast<int64_t>(random_.below(40));
    if (from < store_->compact_revision()) {
      ASSERT_EQ(store_->history(*slot_, from, to, 1000).status(), errors::Compacted());
      return;
    }
    to = std::min(to, model_.revision);
    int64_t next = from;
    std::vector<Event> all;
    while (next <= to) {
      auto part = store_->history(*slot_, next, to, random_.below(500));
      ASSERT_TRUE(part.ok()) << part.status();
      ASSERT_GT(part->next_revision, next);
      next = part->next_revision;
      all.insert(all.end(), part->events.begin(), part->events.end());
    }
    check_events(model_.changes, all, from, to);
  }

  void compact() {
    int64_t at = static_cast<int64_t>(random_.below(static_cast<uint64_t>(model_.revision) + 2));
    absl::Status expected = at <= model_.compacted ? errors::Compacted()
                            : at > model_.revision ? errors::FutureRev()
                                                   : absl::OkStatus();
    bool idle = !store_->compacting();
    SlowStore before = model_;
    ASSERT_EQ(store_->compact(at), expected);
    if (!expected.ok()) return;
    model_.compact(at);
    if (pending_hash_) {
      overtaken_hash_ = std::move(pending_hash_);
      overtaken_revision_ = before.compacted;
    }
    before_compaction_.reset();
    if (idle) before_compaction_ = before;
  }

  void take_hash() {
    while (overtaken_hash_) step_overtaken_hash();  // pending_expected_ is its
    pending_hash_ = store_->take_compaction_hash();
    ASSERT_NE(pending_hash_, nullptr);
    pending_expected_ = compaction_hash(*before_compaction_, model_.compacted);
    before_compaction_.reset();
  }

  // etcd hashes while it compacts, with the revision compacted to before, and what is kept now.
  static uint32_t compaction_hash(const SlowStore& before, int64_t at) {
    std::set<Revision> keep = before.kept_by_compaction(at);
    uint32_t crc = crc32c::extend(0, "key");
    for (const SlowChange& change : before.changes) {
      int64_t main = change.revision.main;
      if (main > at) continue;
      if (main <= before.compacted && !keep.empty() && !keep.contains(change.revision)) continue;
      if (main == before.compacted && change.tombstone) continue;
      crc = crc32c::extend(crc, RevisionKey(change.revision, change.tombstone).view());
      crc = crc32c::extend(crc, change.encoded());
    }
    return crc;
  }

  void compaction_slice() {
    bool more = store_->compact_step(random_.below(12) + 1);
    ASSERT_EQ(more, store_->compacting());
    for (uint64_t n = random_.below(8); n > 0 && pending_hash_; --n) step_hash();
    if (!pending_hash_ || random_.below(16) != 0) return;
    if (random_.below(2) == 0) store_->drop_compaction_hash();
    pending_hash_.reset();
  }

  void step_hash() {
    bool holds = pending_hash_->urgency() == HashKvJob::Urgency::kHoldsRemoval;
    ASSERT_TRUE(!holds || store_->compaction_held());
    auto done = pending_hash_->step(random_.below(20) + 1);
    ASSERT_TRUE(done.ok()) << done.status();
    if (!*done) return;
    EXPECT_EQ(pending_hash_->result().hash, pending_expected_);
    EXPECT_EQ(pending_hash_->result().hash_revision, model_.compacted);
    stored_.insert(pending_hash_->result().hash_revision);
    pending_hash_.reset();
  }

  // The next compaction has begun. Until that is published a job that has read what goes away may
  // still end, and is right; from then on it is given up.
  void step_overtaken_hash() {
    bool holds = overtaken_hash_->urgency() == HashKvJob::Urgency::kHoldsRemoval;
    bool passed = holds || store_->compact_revision() != overtaken_revision_;
    auto done = overtaken_hash_->step(random_.below(20) + 1);
    if (passed) {
      ASSERT_TRUE(absl::IsAborted(done.status())) << done.status();
      overtaken_hash_.reset();
      return;
    }
    ASSERT_TRUE(done.ok()) << done.status();
    if (!*done) return;
    EXPECT_EQ(overtaken_hash_->result().hash, pending_expected_);
    stored_.insert(overtaken_revision_);
    overtaken_hash_.reset();
  }

  // A client's hash that takes its time: the answer is the one of when it was asked for.
  void begin_kv_hash() {
    if (stored_.contains(model_.revision)) return;
    auto job = store_->hash_kv(model_.revision);
    ASSERT_TRUE(job.ok()) << job.status();
    kv_hash_ = *std::move(job);
    kv_hash_expected_ = model_.hash_kv(model_.revision);
  }
  void step_kv_hash() {
    auto done = kv_hash_->step(random_.below(30) + 1);
    ASSERT_TRUE(done.ok()) << done.status();
    if (!*done) return;
    EXPECT_EQ(kv_hash_->result().hash, kv_hash_expected_);
    kv_hash_.reset();
  }

  // Compaction, its hash and whoever holds it up come to their ends.
  void finish() {
    while (kv_hash_) step_kv_hash();
    while (overtaken_hash_) step_overtaken_hash();
    for (int n = 0; store_->compacting() || pending_hash_; ++n) {
      ASSERT_LT(n, 100000);
      store_->compact_step(7);
      publish();
      if (pending_hash_) step_hash();
    }
    publish();
  }

  RangeOptions options(int64_t now) {
    RangeOptions o;
    if (random_.below(2) == 0) o.limit = static_cast<int64_t>(random_.below(12));
    if (random_.below(2) == 0) {
      o.revision = static_cast<int64_t>(random_.below(static_cast<uint64_t>(now) + 2));
      if (random_.below(2) == 0) o.revision = std::max<int64_t>(o.revision, model_.compacted);
    }
    if (random_.below(2) == 0) {
      o.sort_order = static_cast<SortOrder>(random_.below(3));
      o.sort_target = static_cast<SortTarget>(random_.below(5));
    }
    o.keys_only = random_.below(4) == 0;
    o.count_only = random_.below(6) == 0;
    o.total_count = random_.below(5) != 0;
    auto some = [&] {
      return random_.below(6) == 0
                 ? static_cast<int64_t>(random_.below(static_cast<uint64_t>(now) + 1))
                 : 0;
    };
    o.min_mod_revision = some();
    o.max_mod_revision = some();
    o.min_create_revision = some();
    o.max_create_revision = some();
    return o;
  }

  void check_range(WriteTxn* txn = nullptr, int64_t now = 0) {
    if (!txn) now = model_.revision;
    std::string begin = random_.below(5) == 0 ? std::string(1, '\0') : key();
    std::string end = range_end();
    RangeOptions o = options(now);
    auto expected = model_.range(begin, end, o, now);
    auto got = txn ? txn->range(begin, end, o) : store_->range(*slot_, begin, end, o);
    std::string what =
        cat("range ", begin, " .. ", end, " limit=", o.limit, " rev=", o.revision,
            " order=", static_cast<int>(o.sort_order), " target=", static_cast<int>(o.sort_target),
            " keys_only=", o.keys_only, " count_only=", o.count_only, " now=", now);
    ASSERT_EQ(got.status(), expected.status()) << what;
    if (!got.ok()) return;
    ASSERT_EQ(got->revision, expected->revision) << what;
    ASSERT_EQ(got->count, expected->count) << what;
    ASSERT_EQ(got->more, expected->more) << what;
    ASSERT_EQ(got->kvs.size(), expected->kvs.size()) << what;
    for (size_t i = 0; i < got->kvs.size(); ++i) {
      ASSERT_EQ(got->kvs[i].str(), expected->kvs[i].str()) << what << " #" << i;
    }
    const SlowChange* one = model_.visible(begin, now);
    auto single = txn ? txn->get(begin) : store_->read(*slot_).get(begin);
    ASSERT_TRUE(single.ok()) << single.status();
    ASSERT_EQ(*single ? (*single)->str() : "", one ? one->encoded() : "");
  }

  void check_hash() {
    int64_t at = random_.below(2) == 0 ? 0 : model_.revision;
    if (random_.below(2) == 0 && model_.compacted > 0) {
      at = model_.compacted + static_cast<int64_t>(random_.below(
                                  static_cast<uint64_t>(model_.revision - model_.compacted) + 1));
    }
    if (stored_.contains(at)) return;
    auto job = store_->hash_kv(at);
    ASSERT_TRUE(job.ok()) << job.status();
    while (true) {
      auto done = (*job)->step(random_.below(20) + 1);
      ASSERT_TRUE(done.ok()) << done.status();
      if (*done) break;
    }
    KvHash hash = (*job)->result();
    EXPECT_EQ(hash.hash, model_.hash_kv(at == 0 ? model_.revision : at));
    EXPECT_EQ(hash.compact_revision, model_.compacted);
    EXPECT_EQ(hash.hash_revision, at == 0 ? model_.revision : at);
    EXPECT_EQ(hash.current_revision, model_.revision);
    if (model_.compacted > 1 && !stored_.contains(1)) {
      EXPECT_EQ(store_->hash_kv(1).status(), errors::Compacted());
    }
    EXPECT_EQ(store_->hash_kv(model_.revision + 1).status(), errors::FutureRev());
  }

  // With no compaction pending the key bucket is, record for record, what the twin has.
  void check_bucket() {
    ASSERT_FALSE(store_->compacting());
    auto it = machine_.backend().iterate(Bucket::kKey);
    it->seek_to_first();
    for (const SlowChange& change : model_.changes) {
      ASSERT_TRUE(it->valid());
      ASSERT_EQ(it->key(), RevisionKey(change.revision, change.tombstone).view());
      ASSERT_EQ(it->value(), change.encoded());
      it->next();
    }
    ASSERT_FALSE(it->valid());
    std::set<std::string> keys;
    for (const SlowChange& change : model_.changes) keys.insert(change.key);
    ASSERT_EQ(store_->stats().records, static_cast<int64_t>(keys.size()));
  }

  void check_leases() {
    std::map<std::string, int64_t> expected;
    for (const SlowChange& change :
         model_.all_visible(std::string_view("\0", 1), std::string_view("\0", 1), INT64_MAX)) {
      if (change.lease != 0) expected[change.key] = change.lease;
    }
    std::map<std::string, int64_t> got;
    for (const auto& [key, lease] : store_->take_restored_leases()) got[key] = lease.value;
    ASSERT_EQ(got, expected);
  }

  void flush() {
    std::promise<absl::Status> done;
    machine_.backend().flush([&](absl::Status s) { done.set_value(std::move(s)); });
    ASSERT_TRUE(done.get_future().get().ok());
    durable_ = model_;
  }

  // Records of the store as somebody read them: some of them, in any order, perhaps long ago.
  void warm() {
    auto it = machine_.backend().iterate(Bucket::kKey);
    for (it->seek_to_first(); it->valid(); it->next()) {
      if (random_.below(3) == 0) passed_.emplace_back(it->key(), it->value());
    }
    std::shuffle(passed_.begin(), passed_.end(), std::mt19937_64(random_.below(1000)));
    passed_.resize(std::min<size_t>(passed_.size(), 200));
    store_->warm(passed_);
  }

  void restart(bool crash) {
    close();
    before_compaction_.reset();
    stored_.clear();
    passed_.clear();
    if (crash) {
      machine_.crash();
      model_ = durable_;
    }
    index_ = machine_.backend().consistent_index();
    open();
    ASSERT_EQ(store_->revision(), model_.revision);
    ASSERT_EQ(store_->compact_revision(), model_.compacted);
  }

  const Setup setup_;
  SeededRandom random_;
  Machine machine_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<ReaderSlot> slot_;
  SlowStore model_, durable_;
  std::vector<SlowChange> unpublished_;
  Index index_{0};
  std::optional<SlowStore> before_compaction_;
  std::unique_ptr<HashKvJob> pending_hash_;
  uint32_t pending_expected_ = 0;
  std::unique_ptr<HashKvJob> overtaken_hash_;
  int64_t overtaken_revision_ = 0;
  std::unique_ptr<HashKvJob> kv_hash_;
  uint32_t kv_hash_expected_ = 0;
  std::set<int64_t> stored_;
  backend::PassingRecords passed_;
};

// A setup for a seed; the seeds of the environment go to every kind.
void run(uint64_t first, uint64_t count, Setup setup) {
  for_each_seed(Seeds{.count = count, .first = first}, [&](uint64_t seed) {
    setup.seed = seed;
    RandomHistory(setup).run();
  });
}

TEST(StoreRandom, EverythingInMemory) {
  run(1, 8, {.value_memory = 64 << 20, .ring = 1024, .keys = 120, .rounds = 120});
}

TEST(StoreRandom, NearlyNothingInMemory) {
  run(101, 8, {.value_memory = 400, .ring = 1024, .keys = 120, .rounds = 120});
}

TEST(StoreRandom, ATinyLivenessRing) {
  run(201, 8, {.value_memory = 4000, .ring = 3, .keys = 60, .rounds = 120});
}

TEST(StoreRandom, FewKeysManyVersions) {
  run(301, 8, {.value_memory = 64 << 20, .ring = 64, .keys = 6, .rounds = 200});
}

TEST(StoreRandom, OverRocksDb) {
  run(501, 3, {.value_memory = 400, .ring = 64, .keys = 60, .rounds = 80, .rocks = true});
}

TEST(StoreRandom, ManyKeysDeepTree) {
  run(401, 2, {.value_memory = 64 << 20, .ring = 1024, .keys = 3000, .rounds = 150});
}

// Many of them, each over quickly.
TEST(StoreRandom, ShortHistories) {
  for_each_seed(Seeds{.count = 200, .first = 1001}, [](uint64_t seed) {
    SeededRandom random(seed);
    RandomHistory({.seed = seed,
                   .value_memory = random.below(3) * 500,
                   .ring = 1 + random.below(40),
                   .keys = 2 + random.below(40),
                   .rounds = 10 + static_cast<int>(random.below(30))})
        .run();
  });
}

}  // namespace
}  // namespace keelson::mvcc
