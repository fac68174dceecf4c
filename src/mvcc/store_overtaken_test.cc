// A compaction passes a read that is half done: the reader is stopped at a failpoint, everything it
// still wants to see is overwritten, deleted and compacted away at the newest revision, and then it
// goes on. It must have what it began with, or, had it not begun, "compacted"; nothing else.

#include <gtest/gtest.h>

#include <thread>

#include "backend/memory_backend.h"
#include "base/errors.h"
#include "base/failpoint.h"
#include "base/text.h"
#include "mvcc/store.h"

namespace keelson::mvcc {
namespace {

constexpr int kKeys = 300;
constexpr std::string_view kFirst("\0", 1), kLast("\0", 1);

std::string key(int i) { return cat("key/", 1000 + i); }

class StoreOvertaken : public ::testing::TestWithParam<uint64_t> {
 protected:
  StoreOvertaken() {
    auto opened = Store::open(&backend_, {.value_memory = GetParam(), .liveness_ring = 64});
    EXPECT_TRUE(opened.ok());
    store_ = *std::move(opened);
    slot_ = store_->register_reader();
    for (int i = 0; i < kKeys; ++i) put(i, "before");
    publish();
    before_ = store_->revision();
  }
  ~StoreOvertaken() override { failpoint::disarm(); }

  void put(int i, std::string_view value) {
    ASSERT_TRUE(store_->begin().put({.key = key(i), .value = value}).ok());
  }
  void publish() { ASSERT_TRUE(store_->publish(++index_, Term(1)).ok()); }

  // Of the keys from first_changed_ on nothing that was visible at before_ is left behind, as far
  // as the store lets go of it.
  void overtake() {
    for (int i = first_changed_; i < kKeys; ++i) {
      if (i % 3 == 0) {
        ASSERT_TRUE(store_->begin().delete_range(key(i), "").ok());
      } else {
        put(i, "after");
      }
    }
    publish();
    ASSERT_TRUE(store_->compact(store_->revision()).ok());
    publish();
    for (int i = 0; i < 50; ++i) step();
  }
  void step() {
    store_->compact_step(100);
    publish();
  }
  // Once no read is left, everything goes.
  void finish() {
    for (int i = 0; i < 50 && store_->compacting(); ++i) step();
    EXPECT_FALSE(store_->compacting());
    EXPECT_EQ(store_->stats().garbage_queue, 0u);
    store_->check_invariants();
  }

  // The answer of a range that is overtaken at its first step.
  absl::StatusOr<RangeResult> overtaken(const char* where, std::string_view begin,
                                        std::string_view end, const RangeOptions& options) {
    EXPECT_TRUE(failpoint::arm(cat(where, "=pause")).ok());
    absl::StatusOr<RangeResult> result = absl::UnknownError("not run");
    std::atomic<bool> done{false};
    std::thread reader([&] {
      result = store_->range(*slot_, begin, end, options);
      done = true;
    });
    while (failpoint::hits(where) == 0 && !done) std::this_thread::yield();
    overtake();
    failpoint::disarm();
    reader.join();
    finish();
    return result;
  }

  static void expect_before(const absl::StatusOr<RangeResult>& result, size_t kvs, bool keys_only) {
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->count, kKeys);
    ASSERT_EQ(result->kvs.size(), kvs);
    for (const Bytes& encoded : result->kvs) {
      KeyValueView kv;
      ASSERT_TRUE(decode_key_value(encoded, &kv));
      EXPECT_EQ(kv.value, keys_only ? "" : "before");
      EXPECT_EQ(kv.version, 1);
    }
  }

  backend::MemoryBackend backend_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<ReaderSlot> slot_;
  Index index_{0};
  int64_t before_ = 0;
  int first_changed_ = 0;
};

TEST_P(StoreOvertaken, ALimitedRange) {
  auto result = overtaken("mvcc_range_section", kFirst, kLast, {.limit = 100});
  expect_before(result, 100, false);
  EXPECT_TRUE(result->more);
}

// Fewer items than keys visited: a walk that takes from each leaf no more than it still needs must
// not leave the leaf with keys that it was to count.
TEST_P(StoreOvertaken, ALimitedRangeWhoseFirstKeysStay) {
  first_changed_ = 50;
  auto result = overtaken("mvcc_range_section", kFirst, kLast, {.limit = 60});
  expect_before(result, 60, false);
}

TEST_P(StoreOvertaken, AWholeRange) {
  expect_before(overtaken("mvcc_range_section", kFirst, kLast, {}), kKeys, false);
}

TEST_P(StoreOvertaken, KeysOnly) {
  RangeOptions options{.limit = 70, .keys_only = true};
  expect_before(overtaken("mvcc_range_section", kFirst, kLast, options), 70, true);
}

TEST_P(StoreOvertaken, TheLastPageDescending) {
  RangeOptions options{.limit = 10, .sort_order = SortOrder::kDescend};
  expect_before(overtaken("mvcc_range_section", kFirst, kLast, options), 10, false);
}

TEST_P(StoreOvertaken, SortedByValue) {
  RangeOptions options{.limit = 10,
                       .sort_order = SortOrder::kDescend,
                       .sort_target = SortTarget::kValue,
                       .keys_only = true};
  expect_before(overtaken("mvcc_range_section", kFirst, kLast, options), 10, true);
}

TEST_P(StoreOvertaken, ACount) {
  expect_before(overtaken("mvcc_range_section", kFirst, kLast, {.count_only = true}), 0, false);
}

TEST_P(StoreOvertaken, FilteredByModRevision) {
  RangeOptions options{.limit = 5, .min_mod_revision = before_ - 3};
  expect_before(overtaken("mvcc_range_section", kFirst, kLast, options), 4, false);
}

TEST_P(StoreOvertaken, OneKey) {
  auto result = overtaken("mvcc_range_section", key(3), "", {});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->kvs.size(), 1u);
}

// The section is over, the values are still to be read from the backend. Needs values that are not
// in memory; else the failpoint is not met, and the read simply not overtaken.
TEST_P(StoreOvertaken, BeforeItsValuesAreReadBack) {
  expect_before(overtaken("mvcc_read_back", kFirst, kLast, {}), kKeys, false);
}

TEST_P(StoreOvertaken, AnOlderRevisionCountedByTheRing) {
  int64_t old = before_;
  put(kKeys, "one more");
  publish();
  expect_before(overtaken("mvcc_range_section", kFirst, kLast, {.limit = 20, .revision = old}), 20,
                false);
}

TEST_P(StoreOvertaken, AnOlderRevisionWalked) {
  int64_t old = before_;
  for (int i = 0; i < 200; ++i) put(kKeys + i, "more than the ring holds");
  publish();
  expect_before(overtaken("mvcc_range_section", kFirst, kLast, {.limit = 20, .revision = old}), 20,
                false);
}

TEST_P(StoreOvertaken, AViewShowsItsRevisionToTheEnd) {
  {
    ReadView view = store_->read(*slot_);
    overtake();
    EXPECT_TRUE(store_->compacting());
    expect_before(view.range(kFirst, kLast, {}), kKeys, false);
    expect_before(view.range(kFirst, kLast, {.limit = 7, .revision = before_}), 7, false);
    auto one = view.get(key(0));
    ASSERT_TRUE(one.ok() && one->has_value());
    // What the view does not show is not kept.
    EXPECT_EQ(view.range(kFirst, kLast, {.revision = before_ - 1}).status(), errors::Compacted());
  }
  finish();
  ReadView view = store_->read(*slot_);
  EXPECT_EQ(view.range(kFirst, kLast, {})->count, kKeys - kKeys / 3);
  EXPECT_EQ(view.range(kFirst, kLast, {.revision = before_}).status(), errors::Compacted());
}

// Reads that begin after the compaction is shown do not hold it up, however many there are.
TEST_P(StoreOvertaken, NewReadsDoNotHoldUpACompaction) {
  put(0, "after");
  publish();
  ASSERT_TRUE(store_->compact(store_->revision()).ok());
  publish();
  ReadView view = store_->read(*slot_);
  finish();
  EXPECT_EQ(view.range(kFirst, kLast, {})->count, kKeys);
}

// Two reads through one slot, in whatever order they end.
TEST_P(StoreOvertaken, PinsNest) {
  auto first = std::make_unique<ReadView>(store_->read(*slot_));
  put(0, "between");
  publish();
  auto second = std::make_unique<ReadView>(store_->read(*slot_));
  first.reset();
  overtake();
  EXPECT_TRUE(store_->compacting());
  EXPECT_EQ(second->range(kFirst, kLast, {})->count, kKeys);
  second.reset();
  finish();
}

TEST_P(StoreOvertaken, APreviousValueIsThereOrTheEventIsCompacted) {
  put(1, "second");
  auto events = store_->publish(++index_, Term(1));
  ASSERT_TRUE(events.ok());
  Event event = (*events)->events.front();
  event.prev_kv = {};
  ASSERT_TRUE(failpoint::arm("mvcc_read_back=pause").ok());
  absl::StatusOr<Bytes> result = absl::UnknownError("not run");
  std::atomic<bool> done{false};
  std::thread reader([&] {
    result = store_->previous_kv(*slot_, event);
    done = true;
  });
  while (failpoint::hits("mvcc_read_back") == 0 && !done) std::this_thread::yield();
  overtake();
  failpoint::disarm();
  reader.join();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_FALSE(result->empty());
  finish();
  result = store_->previous_kv(*slot_, event);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->empty());
}

INSTANTIATE_TEST_SUITE_P(ValueMemory, StoreOvertaken, ::testing::Values(0, 64 << 20),
                         [](const auto& memory) {
                           return memory.param == 0 ? "ValuesOnDisk" : "ValuesInMemory";
                         });

}  // namespace
}  // namespace keelson::mvcc
