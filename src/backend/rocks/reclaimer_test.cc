// Space that comes back: when it is worth it, and that a store which was filled up, compacted and
// filled again takes as much each time.

#include "backend/rocks/reclaimer.h"

#include <gtest/gtest.h>

#include <deque>
#include <filesystem>
#include <future>

#include "backend/rocks/rocks_backend.h"
#include "base/text.h"

namespace keelson::backend {
namespace {

using rocks::KeySpace;
using rocks::worth_reclaiming;

constexpr uint64_t kMega = 1 << 20;

TEST(WorthReclaiming, AQuarterIsDead) {
  const KeySpace space{.on_disk = 100 * kMega, .raw = 100 * kMega, .deletions = 10};
  EXPECT_TRUE(worth_reclaiming(space, 70 * kMega, 0, UINT64_MAX));
  EXPECT_FALSE(worth_reclaiming(space, 80 * kMega, 0, UINT64_MAX));
}

TEST(WorthReclaiming, NothingWithoutADeletion) {
  const KeySpace space{.on_disk = 100 * kMega, .raw = 100 * kMega};
  EXPECT_FALSE(worth_reclaiming(space, kMega, 0, UINT64_MAX));
}

TEST(WorthReclaiming, NotALittleOfALittle) {
  const KeySpace space{.on_disk = 4 * kMega, .raw = 4 * kMega, .deletions = 10};
  EXPECT_FALSE(worth_reclaiming(space, kMega, 0, UINT64_MAX));
}

TEST(WorthReclaiming, SoonerNearTheQuota) {
  const KeySpace space{.on_disk = 9 * kMega, .raw = 9 * kMega, .deletions = 10};
  EXPECT_FALSE(worth_reclaiming(space, 8 * kMega, 0, 100 * kMega));
  EXPECT_TRUE(worth_reclaiming(space, 8 * kMega, 0, 10 * kMega));
}

TEST(WorthReclaiming, WhatDidNotComeBackIsNoReason) {
  const KeySpace space{.on_disk = 100 * kMega, .raw = 100 * kMega, .deletions = 10};
  EXPECT_FALSE(worth_reclaiming(space, 50 * kMega, 40 * kMega, UINT64_MAX));
  EXPECT_FALSE(worth_reclaiming(space, 50 * kMega, 60 * kMega, UINT64_MAX));
}

struct Shape {
  const char* name;
  uint64_t quota;
  size_t value;
  uint64_t step = 256 * kMega;
};

class Refill : public ::testing::TestWithParam<Shape> {
 protected:
  Refill() : dir_(cat(::testing::TempDir(), "keelson_refill_", ::getpid(), GetParam().name)) {
    std::filesystem::remove_all(dir_);
    backend_ = *open_rocks_backend(
        dir_, {.quota_bytes = GetParam().quota, .reclaim_step = GetParam().step});
  }
  ~Refill() override {
    backend_.reset();
    std::filesystem::remove_all(dir_);
  }

  // One more revision, of random bytes, so that compression does not help.
  void put() {
    std::string value(GetParam().value, '\0');
    for (char& c : value) c = next_byte();
    WriteBatch batch;
    batch.put(Bucket::kKey, key(newest_ + 1), value);
    commit(batch, GetParam().value + 25);
    ++newest_;
  }

  // Deletes all but the newest `kept` revisions.
  void compact(uint64_t kept) {
    while (oldest_ + kept <= newest_) {
      WriteBatch batch;
      batch.del(Bucket::kKey, key(oldest_++));
      commit(batch, -static_cast<int64_t>(GetParam().value + 25));
    }
  }

  absl::Status reclaim() {
    std::promise<absl::Status> done;
    backend_->reclaim([&](absl::Status status) { done.set_value(std::move(status)); });
    return done.get_future().get();
  }

  uint64_t fill() {
    uint64_t puts = 0;
    for (; backend_->size_on_disk() < GetParam().quota; ++puts) put();
    return puts;
  }

  std::unique_ptr<Backend> backend_;
  uint64_t oldest_ = 1, newest_ = 0;  // oldest_ <= newest_ + 1

 private:
  char next_byte() {
    state_ = state_ * 6364136223846793005 + 1;
    return static_cast<char>(state_ >> 56);
  }
  static std::string key(uint64_t revision) { return cat("r", 1'000'000'000 + revision); }
  void commit(const WriteBatch& batch, int64_t grows) {
    live_ += grows;
    ASSERT_TRUE(backend_->commit(batch, Index(++index_), Term(1)).ok());
    backend_->set_live_bytes(static_cast<uint64_t>(live_));
  }

  std::string dir_;
  uint64_t index_ = 0;
  int64_t live_ = 0;
  uint64_t state_ = 1;
};

TEST_P(Refill, EveryRoundTakesAsMuch) {
  const uint64_t first = fill();
  for (int round = 0; round < 3; ++round) {
    EXPECT_GT(backend_->size_in_use(), backend_->size_on_disk() / 2);
    compact(2);
    EXPECT_LT(backend_->size_in_use(), backend_->size_on_disk() / 2);
    ASSERT_TRUE(reclaim().ok());
    EXPECT_LT(backend_->size_on_disk(), GetParam().quota / 8);
    const uint64_t puts = fill();
    EXPECT_GT(puts, first * 9 / 10) << "round " << round;
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, Refill,
                         ::testing::Values(Shape{"small_values", 4 * kMega, 100},
                                           Shape{"values", 60 * kMega, 20'000},
                                           Shape{"large_values", 60 * kMega, 1'500'000},
                                           Shape{"in_steps", 60 * kMega, 20'000, kMega}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace keelson::backend
