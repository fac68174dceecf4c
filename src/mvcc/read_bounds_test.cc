#include "mvcc/read_bounds.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "backend/memory_backend.h"
#include "base/errors.h"
#include "base/failpoint.h"
#include "base/random.h"
#include "base/text.h"
#include "mvcc/held_range.h"
#include "mvcc/store.h"

namespace keelson::mvcc {
namespace {

constexpr std::string_view kAll("\0", 1);
constexpr int kKeys = 20000;

class ReadBoundsTest : public ::testing::Test {
 protected:
  explicit ReadBoundsTest(uint64_t value_memory = uint64_t{64} << 20) {
    auto opened = Store::open(&backend_, {.value_memory = value_memory});
    EXPECT_TRUE(opened.ok());
    store_ = *std::move(opened);
    slot_ = store_->register_reader();
    SeededRandom random(17);
    for (int i = 0; i < kKeys; ++i) put(i, cat("value ", random.below(1000)));
    EXPECT_TRUE(store_->publish(++index_, Term(1)).ok());
    before_ = store_->revision();
    for (int i = 0; i < kKeys; i += 3) put(i, cat("value ", random.below(1000)));
    EXPECT_TRUE(store_->publish(++index_, Term(1)).ok());
  }
  ~ReadBoundsTest() override { failpoint::disarm(); }

  void put(int i, std::string_view value) {
    EXPECT_TRUE(store_->begin().put({.key = cat(100000 + i), .value = value}).ok());
  }
  absl::StatusOr<RangeResult> all(ReadBounds* bounds, const RangeOptions& options = {}) {
    return store_->read(*slot_, bounds).range(kAll, kAll, options);
  }

  backend::MemoryBackend backend_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<ReaderSlot> slot_;
  keelson::Index index_{0};
  int64_t before_ = 0;
};

class EvictedTest : public ReadBoundsTest {
 protected:
  EvictedTest() : ReadBoundsTest(0) {}
};

TEST_F(ReadBoundsTest, WhatIsTooLongIsNotBegun) {
  ReadBounds bounds{.keys = 4096};
  EXPECT_TRUE(is_not_here(all(&bounds).status()));
  EXPECT_EQ(bounds.keys, 4096u);
  for (const RangeOptions& options :
       {RangeOptions{.revision = before_}, RangeOptions{.revision = before_, .keys_only = true},
        RangeOptions{.min_mod_revision = 5},
        RangeOptions{
            .limit = 600, .sort_order = SortOrder::kAscend, .sort_target = SortTarget::kMod}}) {
    ReadBounds fresh{.keys = 4096};
    EXPECT_TRUE(is_not_here(all(&fresh, options).status()));
  }
}

TEST_F(ReadBoundsTest, PagesAndCountsGoOn) {
  for (const RangeOptions& options :
       {RangeOptions{.limit = 500}, RangeOptions{.limit = 4000}, RangeOptions{.count_only = true},
        RangeOptions{.limit = 500, .revision = before_},
        RangeOptions{.limit = 500, .sort_order = SortOrder::kDescend},
        RangeOptions{.limit = 50, .min_mod_revision = before_ - 50}}) {
    ReadBounds bounds{.keys = 8192};
    bounds.backend = options.revision != 0;  // superseded values are not kept in memory
    if (options.sort_order != SortOrder::kNone || options.min_mod_revision != 0) {
      bounds.keys = uint64_t{kKeys} * ReadBounds::kSorted;
    }
    EXPECT_TRUE(all(&bounds, options).ok());
  }
}

TEST_F(ReadBoundsTest, AllRangesOfAViewSpendTogether) {
  ReadBounds bounds{.keys = 1000};
  ReadView view = store_->read(*slot_, &bounds);
  EXPECT_TRUE(view.range(kAll, kAll, {.limit = 400}).ok());
  EXPECT_TRUE(view.range(kAll, kAll, {.limit = 400}).ok());
  EXPECT_TRUE(is_not_here(view.range(kAll, kAll, {.limit = 400}).status()));
  EXPECT_TRUE(view.range("100001", "", {}).ok());
}

TEST_F(EvictedTest, ValuesOfTheBackendAreReadWhereThatIsAllowed) {
  backend_.set_cold(true);
  ReadBounds bounds{.backend = false};
  EXPECT_TRUE(is_not_here(store_->read(*slot_, &bounds).range("100001", "").status()));
  EXPECT_EQ(bounds.lacking, 1u);
  EXPECT_TRUE(is_not_here(all(&bounds, {.limit = 9}).status()));
  EXPECT_EQ(bounds.lacking, 10u);
  EXPECT_TRUE(all(&bounds, {.count_only = true}).ok());
  bounds.backend = true;
  EXPECT_TRUE(store_->read(*slot_, &bounds).range("100001", "").ok());
  // What the backend has in memory is read anywhere, as long as it is not much.
  backend_.set_cold(false);
  bounds.backend = false;
  EXPECT_TRUE(store_->read(*slot_, &bounds).range("100001", "").ok());
  EXPECT_TRUE(all(&bounds, {.limit = 50}).ok());
  EXPECT_TRUE(is_not_here(all(&bounds, {.limit = 500}).status()));
}

TEST_F(EvictedTest, WhatLacksMuchIsHeldAndReadLater) {
  absl::StatusOr<RangeResult> plain = all(nullptr, {.limit = 9000});
  ASSERT_TRUE(plain.ok());
  const std::function<void(absl::AnyInvocable<void()>)> elsewhere = [](auto) {};
  ReadBounds bounds{.hold_above = 1000, .elsewhere = &elsewhere};
  RangeOptions options{.limit = 9000};
  EXPECT_EQ(all(&bounds, options)->held, nullptr);  // not asked for
  options.may_hold = true;
  absl::StatusOr<RangeResult> found = all(&bounds, options);
  ASSERT_TRUE(found.ok());
  ASSERT_NE(found->held, nullptr);
  EXPECT_EQ(found->count, plain->count);
  EXPECT_TRUE(found->more);
  ASSERT_EQ(found->held->count(), 9000u);
  // Everything is overwritten and compacted away meanwhile.
  for (int i = 0; i < kKeys; ++i) put(i, "after");
  ASSERT_TRUE(store_->publish(++index_, Term(1)).ok());
  ASSERT_TRUE(store_->compact(store_->revision()).ok());
  auto step = [&] {
    ASSERT_TRUE(store_->publish(++index_, Term(1)).ok());
    store_->compact_step(1000);
  };
  for (int i = 0; i < 100; ++i) step();
  EXPECT_TRUE(store_->compaction_held());
  for (size_t i = 0; i < 9000; i += 500) {
    absl::StatusOr<std::vector<Bytes>> kvs = found->held->take(i, i + 500);
    ASSERT_TRUE(kvs.ok()) << kvs.status();
    EXPECT_TRUE(std::equal(kvs->begin(), kvs->end(), plain->kvs.begin() + static_cast<long>(i)));
    EXPECT_EQ(found->held->size(i), plain->kvs[i].size());
  }
  found->held.reset();
  for (int i = 0; i < 100 && store_->compacting(); ++i) step();
  EXPECT_FALSE(store_->compacting());
}

// A compaction that begins before the range has its own pin is not held back by it: the range is
// read under the view's.
TEST_F(EvictedTest, WhatACompactionOvertakesIsNotHeld) {
  absl::StatusOr<RangeResult> plain = all(nullptr);
  ASSERT_TRUE(plain.ok());
  const std::function<void(absl::AnyInvocable<void()>)> elsewhere = [](auto) {};
  ReadBounds bounds{.hold_above = 1000, .elsewhere = &elsewhere};
  ASSERT_TRUE(failpoint::arm("mvcc_hold=pause").ok());
  absl::StatusOr<RangeResult> found = absl::UnknownError("not run");
  std::thread reader([&] { found = all(&bounds, {.may_hold = true}); });
  while (failpoint::hits("mvcc_hold") == 0) std::this_thread::yield();
  for (int i = 0; i < kKeys; ++i) put(i, "after");
  ASSERT_TRUE(store_->publish(++index_, Term(1)).ok());
  ASSERT_TRUE(store_->compact(store_->revision()).ok());
  auto step = [&] {
    ASSERT_TRUE(store_->publish(++index_, Term(1)).ok());
    store_->compact_step(1000);
  };
  for (int i = 0; i < 10; ++i) step();
  failpoint::disarm();
  reader.join();
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->held, nullptr);
  EXPECT_TRUE(found->kvs == plain->kvs);
  for (int i = 0; i < 200 && store_->compacting(); ++i) step();
  EXPECT_FALSE(store_->compacting());
}

TEST_F(EvictedTest, SoMuchIsHeldAndNoMore) {
  const std::function<void(absl::AnyInvocable<void()>)> elsewhere = [](auto) {};
  std::vector<std::shared_ptr<HeldRange>> held;
  auto one = [&] {
    ReadBounds bounds{.hold_above = 100, .elsewhere = &elsewhere};
    return all(&bounds, {.limit = 100, .may_hold = true});
  };
  absl::StatusOr<RangeResult> found = one();
  for (; found.ok() && held.size() < 5000; found = one()) held.push_back(found->held);
  EXPECT_EQ(found.status(), errors::RequestTooManyRequests());
  EXPECT_GT(held.size(), 500u);
  held.pop_back();
  EXPECT_TRUE(one().ok());
}

TEST_F(ReadBoundsTest, WhatNobodyWaitsForEnds) {
  std::atomic<bool> unwanted{true};
  ReadBounds bounds{.unwanted = &unwanted};
  EXPECT_TRUE(absl::IsCancelled(all(&bounds).status()));
  EXPECT_TRUE(absl::IsCancelled(all(&bounds, {.revision = before_}).status()));
  unwanted = false;
  EXPECT_TRUE(all(&bounds).ok());
}

TEST_F(EvictedTest, WhatNobodyWaitsForAnyMoreEndsWhileItReadsValues) {
  std::atomic<bool> unwanted{false};
  ReadBounds bounds{.unwanted = &unwanted};
  ASSERT_TRUE(failpoint::arm("mvcc_read_back=pause").ok());
  absl::Status status;
  std::thread reader([&] { status = all(&bounds).status(); });
  while (failpoint::hits("mvcc_read_back") == 0) std::this_thread::yield();
  unwanted = true;
  failpoint::disarm();
  reader.join();
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
}

TEST_F(ReadBoundsTest, LongSortsAreStable) {
  absl::StatusOr<RangeResult> plain = all(nullptr);
  ASSERT_TRUE(plain.ok());
  auto decode = [](const Bytes& kv) {
    KeyValueView view;
    EXPECT_TRUE(decode_key_value(kv, &view));
    return view;
  };
  for (bool descending : {false, true}) {
    for (SortTarget target : {SortTarget::kValue, SortTarget::kVersion, SortTarget::kKey}) {
      std::vector<Bytes> expected = plain->kvs;
      std::stable_sort(expected.begin(), expected.end(), [&](const Bytes& x, const Bytes& y) {
        KeyValueView a = decode(x), b = decode(y);
        if (descending) std::swap(a, b);
        if (target == SortTarget::kValue) return a.value < b.value;
        return target == SortTarget::kKey ? a.key < b.key : a.version < b.version;
      });
      absl::StatusOr<RangeResult> sorted =
          all(nullptr, {.sort_order = descending ? SortOrder::kDescend : SortOrder::kAscend,
                        .sort_target = target});
      ASSERT_TRUE(sorted.ok());
      EXPECT_TRUE(sorted->kvs == expected);
    }
  }
}

}  // namespace
}  // namespace keelson::mvcc
