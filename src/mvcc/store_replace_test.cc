// A store is replaced while threads read it: each read is of one store from its beginning to its
// end, no reader goes back, and the former stores go when their last readers have left.

#include <gtest/gtest.h>

#include <atomic>
#include <iostream>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "backend/memory_backend.h"
#include "base/check.h"
#include "base/random.h"
#include "base/test_seeds.h"
#include "base/text.h"
#include "mvcc/store.h"

namespace keelson::mvcc {
namespace {

constexpr int kKeys = 40;

// A store whose revision is `revision` and whose values all say so.
struct Made {
  std::shared_ptr<backend::MemoryBackend> backend = std::make_shared<backend::MemoryBackend>();
  std::unique_ptr<Store> store;
};

Made make(int64_t revision, uint64_t value_memory) {
  Made made;
  made.store = *Store::open(made.backend.get(), {.value_memory = value_memory});
  for (int64_t at = 2; at <= revision; ++at) {
    WriteTxn txn = made.store->begin();
    for (int key = 0; key < (at == revision ? kKeys : 1); ++key) {
      CHECK(txn.put({.key = cat("k", key), .value = cat(at)}).ok());
    }
  }
  CHECK(made.store->publish(Index(static_cast<uint64_t>(revision)), Term(1)).ok());
  return made;
}

// What to throw away is thrown away at the end.
class Dump {
 public:
  Dispose dispose() {
    return [this](absl::AnyInvocable<void()> task) {
      std::lock_guard lock(mutex_);
      tasks_.push_back(std::move(task));
    };
  }
  size_t size() {
    std::lock_guard lock(mutex_);
    return tasks_.size();
  }
  void empty() {
    for (auto& task : tasks_) task();
    tasks_.clear();
  }

 private:
  std::mutex mutex_;
  std::vector<absl::AnyInvocable<void()>> tasks_;
};

class Reader {
 public:
  explicit Reader(Store& store) : store_(store), slot_(store.register_reader()) {}

  void read(Random& random) {
    ReadView view = store_.read(*slot_);
    EXPECT_GE(view.revision(), last_);
    last_ = view.revision();
    for (uint64_t i = random.below(4); i-- > 0;) std::this_thread::yield();
    absl::StatusOr<RangeResult> found = view.range("k", "l", {});
    ASSERT_TRUE(found.ok()) << found.status();
    ASSERT_EQ(found->kvs.size(), static_cast<size_t>(kKeys));
    for (const Bytes& encoded : found->kvs) {
      KeyValueView kv;
      ASSERT_TRUE(decode_key_value(encoded.view(), &kv));
      EXPECT_EQ(kv.value, cat(view.revision()));
    }
    ++reads_;
  }
  void leave() { store_.follow(*slot_); }
  uint64_t reads() const { return reads_; }

 private:
  Store& store_;
  std::unique_ptr<ReaderSlot> slot_;
  int64_t last_ = 0;
  uint64_t reads_ = 0;
};

TEST(StoreReplace, ReadersSeeOneStoreOrTheNext) {
  uint64_t reads = 0;
  for_each_seed(Seeds{.count = 20}, [&](uint64_t seed) {
    SeededRandom random(seed);
    const uint64_t memory = random.below(2) == 0 ? 0 : 1 << 20;
    Dump dump;
    Made first = make(2, memory);
    Store& store = *first.store;
    std::atomic<bool> over{false};
    std::vector<std::unique_ptr<Reader>> readers;
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) {
      readers.push_back(std::make_unique<Reader>(store));
      threads.emplace_back([&over, reader = readers.back().get(), own = random.next()] {
        SeededRandom dice(own);
        while (!over) reader->read(dice);
      });
    }
    std::shared_ptr<backend::Backend> stands_on = std::move(first.backend);
    const size_t swaps = 2 + random.below(6);
    int64_t revision = 2;
    for (size_t i = 0; i < swaps; ++i) {
      Made next = make(revision += 1 + static_cast<int64_t>(random.below(20)), memory);
      store.replace(std::move(next.store), std::exchange(stands_on, next.backend), dump.dispose());
      EXPECT_EQ(store.revision(), revision);
    }
    over = true;
    for (std::thread& thread : threads) thread.join();
    for (auto& reader : readers) reader->leave();
    EXPECT_EQ(dump.size(), swaps);
    for (auto& reader : readers) reads += reader->reads();
    readers.clear();
    dump.empty();
    first.store.reset();
  });
  std::cout << reads << " reads\n";
}

TEST(StoreReplace, AViewShowsItsStoreToTheEnd) {
  Dump dump;
  Made first = make(2, 0);
  Store& store = *first.store;
  std::unique_ptr<ReaderSlot> slot = store.register_reader();
  std::shared_ptr<backend::Backend> stands_on = std::move(first.backend);
  {
    ReadView view = store.read(*slot);
    auto job = store.hash_kv(0);
    ASSERT_TRUE(job.ok());
    Made next = make(9, 0);
    store.replace(std::move(next.store), std::exchange(stands_on, next.backend), dump.dispose());
    // A newer view on the same slot, while the former is open.
    EXPECT_EQ(store.read(*slot).revision(), 9);
    absl::StatusOr<std::optional<Bytes>> there = view.get("k0");
    ASSERT_TRUE(there.ok());
    KeyValueView kv;
    ASSERT_TRUE(decode_key_value((*there)->view(), &kv));
    EXPECT_EQ(kv.value, "2");
    while (!*(*job)->step(10)) {
    }
    EXPECT_EQ((*job)->result().current_revision, 2);
    EXPECT_FALSE(store.follow(*slot));
    EXPECT_EQ(dump.size(), 0u);
  }
  EXPECT_TRUE(store.follow(*slot));
  EXPECT_EQ(dump.size(), 1u);
  slot.reset();
  dump.empty();
  first.store.reset();
}

// The lane that was to end the former store ended itself before it got there.
TEST(StoreReplace, AFormerStoreGoesWithTheTaskThatNeverRan) {
  Made second = make(20, 1 << 20), first = make(10, 1 << 20);
  std::weak_ptr<backend::MemoryBackend> former = first.backend;
  first.store->replace(std::move(second.store), std::exchange(first.backend, nullptr),
                       [](absl::AnyInvocable<void()> task) {});
  EXPECT_TRUE(former.expired());
}

}  // namespace
}  // namespace keelson::mvcc
