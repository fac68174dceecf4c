// mvcc/garbage_queue.h
//
// GarbageQueue lists, in order of revision, every change that made an older version superfluous: an
// overwrite, or a tombstone. A compaction at C takes exactly the entries with main <= C from its
// front, so it costs what it removes and never looks at the rest of the keys.
//
// Threads: one, the writer's.
// Memory: 8 bytes per entry: a 48-bit pointer, and the distance in revisions from the entry before.

#pragma once

#include <cstdint>
#include <deque>

#include "base/check.h"
#include "mvcc/record.h"

namespace keelson::mvcc {

class GarbageQueue {
 public:
  // REQUIRES: main >= that of the entry pushed before.
  void push(int64_t main, KeyRecord* record) {
    CHECK(main >= last_);
    auto distance = static_cast<uint64_t>(main - last_);
    // Far from the one before: entries of no record bridge the distance.
    for (; distance > kMostDistance; distance -= kMostDistance)
      entries_.push_back(pack(kMostDistance, nullptr));
    entries_.push_back(pack(distance, record));
    last_ = main;
    ++size_;
  }

  bool empty() const { return size_ == 0; }
  uint64_t size() const { return size_; }

  // REQUIRES: !empty().
  int64_t front_main() {
    drop_bridges();
    return first_ + static_cast<int64_t>(entries_.front() >> kPointerBits);
  }
  KeyRecord* pop() {
    drop_bridges();
    uint64_t entry = entries_.front();
    first_ += static_cast<int64_t>(entry >> kPointerBits);
    entries_.pop_front();
    --size_;
    return pointer(entry);
  }

 private:
  static constexpr int kPointerBits = 48;
  static constexpr uint64_t kMostDistance = 0xffff;

  static uint64_t pack(uint64_t distance, KeyRecord* record) {
    auto address = reinterpret_cast<uint64_t>(record);
    CHECK(address >> kPointerBits == 0);
    return distance << kPointerBits | address;
  }
  static KeyRecord* pointer(uint64_t entry) {
    return reinterpret_cast<KeyRecord*>(entry & ((uint64_t{1} << kPointerBits) - 1));
  }
  void drop_bridges() {
    CHECK(size_ > 0);
    while (pointer(entries_.front()) == nullptr) {
      first_ += static_cast<int64_t>(entries_.front() >> kPointerBits);
      entries_.pop_front();
    }
  }

  std::deque<uint64_t> entries_;
  int64_t first_ = 0;  // main of the entry popped last
  int64_t last_ = 0;   // main of the entry pushed last
  uint64_t size_ = 0;
};

}  // namespace keelson::mvcc
