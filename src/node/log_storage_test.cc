#include "node/log_storage.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "base/test_seeds.h"

namespace keelson::node {
namespace {

raft::Entry entry(uint64_t index, uint64_t term, size_t bytes) {
  return {.term = Term(term), .index = Index(index), .data = Bytes::copy(std::string(bytes, 'x'))};
}

uint64_t sum(LogStorage& storage) {
  uint64_t bytes = 0;
  for (Index i = storage.first(); i <= storage.last(); ++i) {
    bytes += size_of((*storage.entries(i, i + 1, UINT64_MAX))[0]);
  }
  return bytes;
}

TEST(LogStorage, WhatIsAppliedIsHeldWithinEntriesAndBytes) {
  LogStorage storage;
  const LogStorage::Keep keep{.entries = 100, .bytes = 64 << 10};
  for (uint64_t i = 1; i <= 1000; ++i) {
    storage.append(raft::Entries{entry(i, 1, 1)});
    storage.trim(Index(i), keep);
    ASSERT_LE(storage.last() - storage.first() + 1, 200u);
  }
  for (uint64_t i = 1001; i <= 2000; ++i) {
    storage.append(raft::Entries{entry(i, 1, 10'000)});
    storage.trim(Index(i), keep);
    ASSERT_LE(storage.bytes(), 2 * keep.bytes);
  }
  EXPECT_EQ(storage.bytes(), sum(storage));
  EXPECT_GE(storage.bytes(), keep.bytes - 10'100);
}

TEST(LogStorage, AnEntryLargerThanTheBoundIsForgottenToo) {
  LogStorage storage;
  storage.append(raft::Entries{entry(1, 1, 1'000'000)});
  storage.trim(Index(1), {.entries = 10, .bytes = 1000});
  EXPECT_EQ(storage.first(), Index(2));
  EXPECT_EQ(storage.term(Index(1)).value(), Term(1));
}

TEST(LogStorageRandom, CountsWhatItHolds) {
  for_each_seed({.count = 50}, [](uint64_t seed) {
    SeededRandom random(seed);
    LogStorage storage;
    if (random.below(2) == 0) {
      ASSERT_TRUE(storage.start_behind(Index(7), Term(1)).ok());
    }
    Index applied = storage.last();
    uint64_t term = 1;
    for (int step = 0; step < 200; ++step) {
      if (random.below(5) == 0) ++term;
      uint64_t from = storage.last().value + 1;
      // A new leader replaces a tail that is not applied.
      if (random.below(4) == 0) from = applied.value + 1;
      for (uint64_t n = random.below(5); n > 0; --n, ++from) {
        storage.append(raft::Entries{entry(from, term, random.below(300))});
      }
      applied = applied + random.below(storage.last() - applied + 1);
      const LogStorage::Keep keep{.entries = random.below(10), .bytes = random.below(2000)};
      storage.trim(applied, keep);
      ASSERT_EQ(storage.bytes(), sum(storage));
      ASSERT_LE(storage.first(), applied + 1);
      if (applied >= storage.first()) {
        ASSERT_LE(applied - storage.first() + 1, 2 * keep.entries);
      }
    }
  });
}

}  // namespace
}  // namespace keelson::node
