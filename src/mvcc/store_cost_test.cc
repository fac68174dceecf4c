// What the writer's work may depend on: what is alive, never on how much died and waits for a
// compaction.

#include <gtest/gtest.h>
#include <time.h>

#include "backend/memory_backend.h"
#include "base/text.h"
#include "mvcc/store.h"

namespace keelson::mvcc {
namespace {

constexpr std::string_view kAll("\0", 1);
constexpr int kDead = 20'000;
constexpr int kRounds = 500;

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

class StoreCost : public ::testing::Test {
 protected:
  StoreCost() { store_ = *Store::open(&backend_, {}); }

  void put(std::string_view key) { ASSERT_TRUE(store_->begin().put({.key = key}).ok()); }
  int64_t remove_all() {
    absl::StatusOr<DeleteResult> result = store_->begin().delete_range(kAll, kAll);
    EXPECT_TRUE(result.ok());
    return result->deleted;
  }
  // One key lives in the middle of wherever the dead are; it is found each time.
  double rounds() {
    double start = cpu_seconds();
    for (int i = 0; i < kRounds; ++i) {
      put("key/1005000");
      EXPECT_EQ(remove_all(), 1);
      EXPECT_EQ(store_->begin().range(kAll, kAll)->count, 0);
    }
    return cpu_seconds() - start;
  }

  backend::MemoryBackend backend_;
  std::unique_ptr<Store> store_;
};

TEST_F(StoreCost, ADeleteDoesNotVisitTheDead) {
  double alone = rounds();
  for (int i = 0; i < kDead; ++i) put(cat("key/", 1'000'000 + i));
  EXPECT_EQ(remove_all(), kDead);
  double among_dead = rounds();
  std::printf("%d rounds: %.1f ms alone, %.1f ms among %d dead keys\n", kRounds, alone * 1e3,
              among_dead * 1e3, kDead);
  // A visit to each would cost some hundred times as much.
  EXPECT_LT(among_dead, alone * 10 + 0.005);
}

// The keys of a lease that ends: named one by one, in order.
TEST_F(StoreCost, KeysInOrderAreNotLookedForOneByOne) {
  std::vector<std::string> keys;
  for (int i = 0; i < kDead; ++i) {
    put(cat("key/", 1'000'000 + i));
    if (i % 2 == 0) keys.push_back(cat("key/", 1'000'000 + i));
  }
  keys.push_back("nowhere");
  uint64_t before = store_->stats().descents;
  EXPECT_EQ(store_->begin().delete_keys(keys).deleted, kDead / 2);
  // One for each leaf, of which each holds 64 keys here, and one to find the first.
  EXPECT_LE(store_->stats().descents - before, kDead / 64 + 3u);
  before = store_->stats().descents;
  EXPECT_EQ(remove_all(), kDead / 2);
  EXPECT_LE(store_->stats().descents - before, kDead / 64 + 3u);
  store_->check_invariants();
}

}  // namespace
}  // namespace keelson::mvcc
