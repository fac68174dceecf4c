// One writer that overwrites, deletes, re-creates, compacts (also at the newest revision) and
// evicts; more readers than there are cores, each with requests of every kind, a cursor over the
// history and hashes. Every answer is checked by what must hold at any revision. To be run under
// ThreadSanitizer too.

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <mutex>
#include <thread>

#include "backend/memory_backend.h"
#include "base/errors.h"
#include "base/random.h"
#include "base/test_seeds.h"
#include "base/text.h"
#include "mvcc/store.h"

namespace keelson::mvcc {
namespace {

struct Setup {
  uint64_t pairs, readers, batches, rounds;
  StoreOptions store;
};

template <typename T, size_t kSize>
T one_of(SeededRandom& random, const T (&choices)[kSize]) {
  return choices[random.below(kSize)];
}

Setup setup_of(SeededRandom& random) {
  Setup setup;
  // The last one is more than a section of a range.
  setup.pairs = one_of<uint64_t>(random, {3, 40, 120, 120, 300, 3000});
  setup.readers = 2 + random.below(5);
  setup.batches = 30 + random.below(300);
  setup.rounds = 1 + random.below(4);
  setup.store.value_memory = one_of<uint64_t>(random, {0, 500, 6000, 64 << 20});
  setup.store.liveness_ring = one_of<size_t>(random, {1, 16, 64, 4096});
  return setup;
}

std::string left(uint64_t i) { return cat("left/", 10000 + i); }
std::string right(uint64_t i) { return cat("right/", 10000 + i); }

// The job of the newest compaction, for whoever computes hashes.
class HashPlace {
 public:
  void put(std::unique_ptr<HashKvJob> job) {
    std::lock_guard lock(mutex_);
    job_ = std::move(job);
  }
  std::unique_ptr<HashKvJob> take() {
    std::lock_guard lock(mutex_);
    return std::move(job_);
  }

 private:
  std::mutex mutex_;
  std::unique_ptr<HashKvJob> job_;
};

// The writer always changes left(i) and right(i) in one transaction and gives both the same value.
// So at every revision both exist or neither, and with equal values; and the value is the
// transaction's number, which never goes down from one revision to a later one.
class Writer {
 public:
  Writer(Store* store, HashPlace* hashes, const Setup& setup, uint64_t seed)
      : store_(*store), hashes_(*hashes), slot_(store->register_reader()), random_(seed) {
    setup_ = setup;
    compact_every_ = 1 + random_.below(40);
    deletes_ = 1 + random_.below(6);  // of 8
    WriteTxn txn = store_.begin();
    for (uint64_t i = 0; i < setup.pairs; ++i) put(txn, i);
  }

  void batch() {
    for (uint64_t n = random_.below(6) + 1; n > 0; --n) change();
    bool compacted = random_.below(compact_every_) == 0 && compact();
    ASSERT_TRUE(store_.publish(++index_, Term(1)).ok());
    if (compacted && random_.below(2) == 0) hashes_.put(store_.take_compaction_hash());
    store_.compact_step(1 + random_.below(200));
  }
  // Nobody reads any more: all that is due goes.
  void finish() {
    for (int i = 0; i < 100000 && store_.compacting(); ++i) {
      store_.compact_step(1000);
      ASSERT_TRUE(store_.publish(++index_, Term(1)).ok());
    }
    EXPECT_FALSE(store_.compacting());
  }

 private:
  void put(WriteTxn& txn, uint64_t i) {
    std::string value = cat(++count_);
    ASSERT_TRUE(txn.put({.key = left(i), .value = value}).ok());
    ASSERT_TRUE(txn.put({.key = right(i), .value = value}).ok());
  }
  void change() {
    WriteTxn txn = store_.begin();
    // Mostly the same few, so that they are born and die often.
    uint64_t i = random_.below(random_.below(3) == 0 ? setup_.pairs : setup_.pairs / 8 + 1);
    if (random_.below(40) == 0) {
      ASSERT_TRUE(txn.delete_range(left(i), left(i + 20)).ok());
      ASSERT_TRUE(txn.delete_range(right(i), right(i + 20)).ok());
    } else if (random_.below(8) < deletes_) {
      ASSERT_TRUE(txn.delete_range(left(i), "").ok());
      ASSERT_TRUE(txn.delete_range(right(i), "").ok());
    } else {
      put(txn, i);
    }
  }
  bool compact() {
    int64_t at = store_.begin().revision();
    if (random_.below(2) == 0) at -= static_cast<int64_t>(random_.below(60));
    if (at <= std::max<int64_t>(store_.compact_revision(), 0)) return false;
    return store_.compact(at).ok();
  }

  Store& store_;
  HashPlace& hashes_;
  std::unique_ptr<ReaderSlot> slot_;
  SeededRandom random_;
  Setup setup_;
  uint64_t compact_every_, deletes_;
  Index index_{0};
  int count_ = 0;
};

KeyValueView decoded(const Bytes& kv) {
  KeyValueView view;
  EXPECT_TRUE(decode_key_value(kv, &view));
  return view;
}

class Reader {
 public:
  Reader(Store* store, HashPlace* hashes, uint64_t pairs, uint64_t seed)
      : store_(*store),
        hashes_(*hashes),
        slot_(store->register_reader()),
        random_(seed),
        pairs_(pairs) {}

  void run(const std::atomic<bool>& stop) {
    while (!stop.load(std::memory_order_relaxed) && !::testing::Test::HasFailure()) {
      one_round();
      rounds.fetch_add(1, std::memory_order_relaxed);
    }
    hash_.reset();
  }
  std::atomic<uint64_t> rounds{0};

 private:
  void one_round() {
    {
      ReadView view = store_.read(*slot_);
      ASSERT_GE(view.revision(), last_);
      ASSERT_LE(view.compact_revision(), view.revision());
      last_ = view.revision();
      check_pair(view);
      for (uint64_t n = random_.below(3) + 1; n > 0; --n) check_ranges(view);
      check_again(view);
    }
    check_alone();
    check_history();
    if (random_.below(8) == 0) step_hash();
  }

  void check_pair(const ReadView& view) {
    uint64_t i = random_.below(pairs_);
    auto a = view.get(left(i)), b = view.get(right(i));
    ASSERT_TRUE(a.ok() && b.ok()) << a.status() << b.status();
    ASSERT_EQ(a->has_value(), b->has_value());
    if (*a) {
      ASSERT_EQ(decoded(**a).value, decoded(**b).value);
    }
  }

  RangeOptions options(int64_t now) {
    RangeOptions o;
    if (random_.below(3) == 0) o.revision = now - static_cast<int64_t>(random_.below(40));
    if (random_.below(2) == 0) o.limit = static_cast<int64_t>(random_.below(2 * pairs_ + 2));
    if (random_.below(3) == 0) {
      o.sort_order = static_cast<SortOrder>(random_.below(3));
      o.sort_target = static_cast<SortTarget>(random_.below(4));
    }
    o.keys_only = random_.below(4) == 0;
    o.count_only = random_.below(6) == 0;
    o.total_count = random_.below(5) != 0;
    if (random_.below(8) == 0) o.min_mod_revision = now - static_cast<int64_t>(random_.below(90));
    if (random_.below(8) == 0)
      o.max_create_revision = now - static_cast<int64_t>(random_.below(90));
    return o;
  }

  // Both halves of the key space say the same.
  void check_ranges(const ReadView& view) {
    RangeOptions o = options(view.revision());
    uint64_t from = random_.below(3) == 0 ? random_.below(pairs_) : 0;
    auto a = view.range(left(from), "left0", o), b = view.range(right(from), "right0", o);
    if (o.revision > 0 && o.revision < view.revision()) {
      // Each of the two reads may have been too late.
      if (a.status() == errors::Compacted() || b.status() == errors::Compacted()) return;
    }
    ASSERT_TRUE(a.ok() && b.ok()) << a.status() << b.status();
    ASSERT_EQ(a->count, b->count);
    ASSERT_EQ(a->more, b->more);
    ASSERT_EQ(a->kvs.size(), b->kvs.size());
    bool filtered = o.min_mod_revision != 0 || o.max_create_revision != 0;
    if (o.limit <= 0 && !o.count_only && !filtered) {
      ASSERT_EQ(static_cast<size_t>(a->count), a->kvs.size());
    }
    for (size_t i = 0; i < a->kvs.size(); ++i) {
      KeyValueView x = decoded(a->kvs[i]), y = decoded(b->kvs[i]);
      ASSERT_EQ(x.key.substr(x.key.size() - 5), y.key.substr(y.key.size() - 5));
      ASSERT_EQ(x.value, y.value);
      ASSERT_EQ(x.mod_revision, y.mod_revision);
      ASSERT_EQ(x.create_revision, y.create_revision);
      ASSERT_EQ(x.version, y.version);
    }
    if (!filtered) check_count(view, o, from, *a);
  }

  // The same range by another way: counted, by keys only, or in pages.
  void check_count(const ReadView& view, const RangeOptions& asked, uint64_t from,
                   const RangeResult& whole) {
    RangeOptions o{
        .revision = asked.revision, .keys_only = true, .count_only = random_.below(2) == 0};
    auto again = view.range(left(from), "left0", o);
    if (o.revision > 0 && o.revision < view.revision() && again.status() == errors::Compacted())
      return;
    ASSERT_TRUE(again.ok()) << again.status();
    if (asked.total_count) {
      ASSERT_EQ(again->count, whole.count);
    }
    if (!o.count_only) {
      ASSERT_EQ(again->count, static_cast<int64_t>(again->kvs.size()));
    }
    note(o.revision > 0 ? o.revision : view.revision(), from, again->count);
  }

  // What was once read at a revision is read there again, or is compacted.
  void note(int64_t revision, uint64_t from, int64_t count) {
    auto [it, fresh] = seen_.try_emplace({revision, from}, count);
    ASSERT_EQ(it->second, count);
    if (fresh && seen_.size() > 200) seen_.erase(seen_.begin());
  }
  void check_again(const ReadView& view) {
    if (seen_.empty()) return;
    auto it = seen_.lower_bound({view.revision() - static_cast<int64_t>(random_.below(60)), 0});
    if (it == seen_.end()) return;
    auto [revision, from] = it->first;
    auto again = view.range(left(from), "left0", {.revision = revision, .count_only = true});
    if (again.status() == errors::Compacted()) return;
    ASSERT_TRUE(again.ok()) << again.status();
    ASSERT_EQ(again->count, it->second);
  }

  // A read of the newest revision, without a view to hold it: always answered.
  void check_alone() {
    RangeOptions o = options(0);
    o.revision = 0;
    auto got = store_.range(*slot_, left(0), "left0", o);
    ASSERT_TRUE(got.ok()) << got.status();
    if (o.limit > 0) {
      ASSERT_LE(got->kvs.size(), static_cast<size_t>(o.limit));
    }
  }

  // A cursor as a watcher has one: no revision is passed over, every transaction is whole.
  void check_history() {
    int64_t to = cursor_ + static_cast<int64_t>(random_.below(40));
    auto history = store_.history(*slot_, cursor_, to, random_.below(2000));
    if (history.status() == errors::Compacted()) {
      cursor_ = store_.compact_revision();
      ASSERT_GE(cursor_, 1);
      return;
    }
    ASSERT_TRUE(history.ok()) << history.status();
    int64_t expected = cursor_;
    const std::vector<Event>& events = history->events;
    for (size_t i = 0; i < events.size();) {
      size_t end = i;
      while (end < events.size() && events[end].revision.main == events[i].revision.main) ++end;
      // At the compact revision itself the versions that others overwrote later are still there.
      ASSERT_EQ(events[i].revision.main, expected);
      check_txn({events.begin() + static_cast<ptrdiff_t>(i),
                 events.begin() + static_cast<ptrdiff_t>(end)});
      ++expected;
      i = end;
    }
    cursor_ = std::max(history->next_revision, cursor_);
  }

  void check_txn(const std::vector<Event>& events) {
    std::map<std::string, std::vector<const Event*>> by_pair;
    for (const Event& event : events) {
      by_pair[std::string(event.key.substr(event.key.size() - 5))].push_back(&event);
    }
    for (auto& [pair, two] : by_pair) {
      ASSERT_EQ(two.size(), 2u) << pair;
      ASSERT_EQ(two[0]->type, two[1]->type);
      auto a = store_.previous_kv(*slot_, *two[0]), b = store_.previous_kv(*slot_, *two[1]);
      ASSERT_TRUE(a.ok() && b.ok()) << a.status() << b.status();
      if (a->empty() || b->empty()) continue;
      ASSERT_EQ(decoded(*a).value, decoded(*b).value);
      ASSERT_LT(decoded(*a).mod_revision, two[0]->revision.main);
    }
  }

  // The hash of a compaction if there is one to compute, else one that a client asked for.
  void step_hash() {
    if (!hash_) hash_ = hashes_.take();
    if (!hash_) {
      auto job = store_.hash_kv(0);
      ASSERT_TRUE(job.ok()) << job.status();
      hash_ = *std::move(job);
    }
    for (int i = 0; i < 4; ++i) {
      auto done = hash_->step(1 + random_.below(400));
      if (done.ok() && !*done) continue;
      if (!done.ok()) {
        ASSERT_TRUE(absl::IsAborted(done.status())) << done.status();
      }
      hash_.reset();
      return;
    }
  }

  Store& store_;
  HashPlace& hashes_;
  std::unique_ptr<ReaderSlot> slot_;
  std::unique_ptr<HashKvJob> hash_;
  SeededRandom random_;
  const uint64_t pairs_;
  int64_t last_ = 0;
  int64_t cursor_ = 2;
  std::map<std::pair<int64_t, uint64_t>, int64_t> seen_;  // (revision, from): how many keys
};

// The writer goes on until every reader has had its rounds.
void run_history(uint64_t seed) {
  SeededRandom random(seed);
  Setup setup = setup_of(random);
  backend::MemoryBackend backend;
  auto store = Store::open(&backend, setup.store);
  ASSERT_TRUE(store.ok());
  HashPlace hashes;
  std::atomic<bool> stop{false};
  auto writer = std::make_unique<Writer>(store->get(), &hashes, setup, random.next());
  writer->batch();
  std::vector<std::unique_ptr<Reader>> readers;
  for (uint64_t r = 0; r < setup.readers; ++r) {
    readers.push_back(std::make_unique<Reader>(store->get(), &hashes, setup.pairs, random.next()));
  }
  std::vector<std::thread> threads;
  for (auto& reader : readers) threads.emplace_back([&] { reader->run(stop); });
  auto enough = [&] {
    return std::all_of(readers.begin(), readers.end(), [&](auto& reader) {
      return reader->rounds.load(std::memory_order_relaxed) >= setup.rounds;
    });
  };
  for (uint64_t batch = 0; batch < setup.batches || !enough(); ++batch) {
    writer->batch();
    if (::testing::Test::HasFailure()) break;
    if (batch >= setup.batches) std::this_thread::yield();
  }
  stop.store(true);
  for (std::thread& thread : threads) thread.join();
  hashes.put(nullptr);
  readers.clear();
  writer->finish();
  (*store)->check_invariants();
}

TEST(StoreConcurrent, ReadersNeverSeeHalfATransaction) { for_each_seed(60, run_history); }

}  // namespace
}  // namespace keelson::mvcc
