// One writer that overwrites, deletes, compacts and evicts; readers on threads of their own that
// check what must hold of every answer. To be run under ThreadSanitizer.

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "backend/memory_backend.h"
#include "base/random.h"
#include "base/text.h"
#include "mvcc/store.h"

namespace keelson::mvcc {
namespace {

constexpr int kPairs = 300;
constexpr int kReaders = 3;

std::string left(int i) { return cat("left/", 1000 + i); }
std::string right(int i) { return cat("right/", 1000 + i); }

// The writer always changes left(i) and right(i) in one transaction and gives both the same value.
// So at every revision both exist or neither, and with equal values; and the value is the
// transaction's number, which never goes down from one revision to a later one.
class Writer {
 public:
  explicit Writer(Store* store) : store_(*store), random_(99) {}

  void run(int batches) {
    Index index(0);
    for (int batch = 0; batch < batches; ++batch) {
      for (uint64_t n = random_.below(6) + 1; n > 0; --n) change();
      if (batch % 40 == 39) compact();
      ASSERT_TRUE(store_.publish(++index, Term(1)).ok());
      store_.compact_step(64);
    }
  }

 private:
  void change() {
    int i = static_cast<int>(random_.below(kPairs));
    WriteTxn txn = store_.begin();
    if (random_.below(4) == 0) {
      ASSERT_TRUE(txn.delete_range(left(i), "").ok());
      ASSERT_TRUE(txn.delete_range(right(i), "").ok());
      return;
    }
    std::string value = cat(++count_);
    ASSERT_TRUE(txn.put({.key = left(i), .value = value}).ok());
    ASSERT_TRUE(txn.put({.key = right(i), .value = value}).ok());
  }
  void compact() {
    int64_t at = store_.revision() - static_cast<int64_t>(random_.below(100));
    if (at > store_.compact_revision() && at > 0) {
      ASSERT_TRUE(store_.compact(at).ok());
    }
  }

  Store& store_;
  SeededRandom random_;
  int count_ = 0;
};

std::string value_of(const Bytes& kv) {
  KeyValueView view;
  EXPECT_TRUE(decode_key_value(kv, &view));
  return std::string(view.value);
}

class Reader {
 public:
  Reader(Store* store, uint64_t seed)
      : store_(*store), slot_(store->register_reader()), random_(seed) {}

  void run(const std::atomic<bool>& stop) {
    while (!stop.load(std::memory_order_relaxed) && !::testing::Test::HasFailure()) {
      ReadView view = store_.read(*slot_);
      ASSERT_GE(view.revision(), last_);
      last_ = view.revision();
      check_pair(view);
      check_all(view);
      check_history();
      ++rounds;
    }
  }
  uint64_t rounds = 0;

 private:
  void check_pair(const ReadView& view) {
    int i = static_cast<int>(random_.below(kPairs));
    auto a = view.get(left(i)), b = view.get(right(i));
    if (absl::IsAborted(a.status()) || absl::IsAborted(b.status())) return;
    ASSERT_TRUE(a.ok() && b.ok()) << a.status() << b.status();
    ASSERT_EQ(a->has_value(), b->has_value());
    if (*a) {
      ASSERT_EQ(value_of(**a), value_of(**b));
    }
  }

  void check_all(const ReadView& view) {
    RangeOptions options;
    options.keys_only = random_.below(4) == 0;
    if (random_.below(2) == 0)
      options.revision = view.revision() - static_cast<int64_t>(random_.below(50));
    if (random_.below(2) == 0) options.limit = 40;
    auto a = view.range("left/", "left0", options), b = view.range("right/", "right0", options);
    for (const absl::Status& s : {a.status(), b.status()}) {
      if (absl::IsAborted(s) || absl::IsOutOfRange(s)) return;
      ASSERT_TRUE(s.ok()) << s;
    }
    ASSERT_EQ(a->count, b->count);
    ASSERT_EQ(a->kvs.size(), b->kvs.size());
    if (options.limit == 0) {
      ASSERT_EQ(static_cast<size_t>(a->count), a->kvs.size());
    }
    for (size_t i = 0; i < a->kvs.size(); ++i) {
      ASSERT_EQ(value_of(a->kvs[i]), value_of(b->kvs[i]));
    }
  }

  void check_history() {
    int64_t from = std::max<int64_t>(store_.revision() - 20, 2);
    auto history = store_.history(*slot_, from, from + 10, 1 << 20);
    if (absl::IsOutOfRange(history.status())) return;
    ASSERT_TRUE(history.ok()) << history.status();
    int64_t expected = from;
    for (const Event& event : history->events) {
      ASSERT_TRUE(event.revision.main == expected || event.revision.main == expected + 1);
      expected = event.revision.main;
      ASSERT_TRUE(store_.previous_kv(*slot_, event).ok());
    }
  }

  Store& store_;
  std::unique_ptr<ReaderSlot> slot_;
  SeededRandom random_;
  int64_t last_ = 0;
};

TEST(StoreConcurrent, ReadersNeverSeeHalfATransaction) {
  backend::MemoryBackend backend;
  auto store = Store::open(&backend, {.value_memory = 6000, .liveness_ring = 64});
  ASSERT_TRUE(store.ok());
  std::atomic<bool> stop{false};
  std::vector<std::unique_ptr<Reader>> readers;
  for (uint64_t r = 0; r < kReaders; ++r) {
    readers.push_back(std::make_unique<Reader>(store->get(), r + 1));
  }
  std::vector<std::thread> threads;
  for (auto& reader : readers) threads.emplace_back([&] { reader->run(stop); });
  Writer(store->get()).run(3000);
  stop.store(true);
  for (std::thread& thread : threads) thread.join();
  (*store)->check_invariants();
  for (auto& reader : readers) EXPECT_GT(reader->rounds, 0u);
  readers.clear();
}

}  // namespace
}  // namespace keelson::mvcc
