// mvcc/value_cache.h
//
// ValueCache keeps the encoded current KeyValues within a budget: a clock over the records, in
// about the order they were first written. A value that was read since the hand last passed gets a
// second chance; the others are dropped and read from the backend from then on.
//
// Threads: one, the writer's. Readers only set Version::kTouched, and only while pressed().
// Safety: only values that the backend has may be evicted; the store calls evict() after a commit.

#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "mvcc/epoch.h"
#include "mvcc/record.h"

namespace keelson::mvcc {

class ValueCache {
 public:
  ValueCache(uint64_t budget, Epochs* epochs) : budget_(budget), epochs_(epochs) {}

  // `record`'s head got a value of `size` bytes.
  void added(KeyRecord* record, uint32_t size);
  // Takes the value of a version away, if it has one.
  void drop(Version* version);
  // `record` goes away; its values are gone already.
  void forget(KeyRecord* record);
  // Drops values until the budget is kept.
  void evict();

  uint64_t bytes() const { return bytes_; }
  bool full() const { return bytes_ >= budget_; }
  // True once something had to be evicted: reads are worth noting from then on.
  bool pressed() const { return pressed_.load(std::memory_order_relaxed); }

 private:
  uint64_t budget_;
  Epochs* epochs_;
  uint64_t bytes_ = 0;
  std::vector<KeyRecord*> clock_;  // null: a free place
  std::vector<uint32_t> free_;
  size_t hand_ = 0;
  std::atomic<bool> pressed_{false};
};

}  // namespace keelson::mvcc
