// mvcc/garbage_queue.h
//
// GarbageQueue lists, in order of revision, every change that made an older version superfluous: an
// overwrite, or a tombstone. A compaction at C takes exactly the entries with main <= C from its
// front, so it costs what it removes and never looks at the rest of the keys.
//
// Threads: one, the writer's.
// Memory: 8 bytes per entry: a 48-bit pointer, and the distance in revisions from the entry before
//   (8 more where that is long); 16 more per kMarkEvery entries, by which due() knows how many
//   there are up to a revision.

#pragma once

#include <algorithm>
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
    if (pushed_++ % kMarkEvery == 0) marks_.push_back({pushed_ - 1, main});
    auto distance = static_cast<uint64_t>(main - last_);
    if (distance > kMostDistance) {
      // A word of its own bridges it. Revisions may be raised by any amount when a cluster is
      // restored, or be whatever a damaged database says.
      entries_.push_back(distance << 1 | kBridge);
      distance = 0;
    }
    entries_.push_back(pack(distance, record));
    last_ = main;
  }

  bool empty() const { return size() == 0; }
  uint64_t size() const { return pushed_ - popped_; }
  // How many entries have a main <= `revision`; up to kMarkEvery more may be counted.
  uint64_t due(int64_t revision) const {
    auto past = std::partition_point(marks_.begin(), marks_.end(),
                                     [&](const Mark& mark) { return mark.main <= revision; });
    uint64_t end = past == marks_.end() ? pushed_ : past->index;
    return end > popped_ ? end - popped_ : 0;
  }

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
    ++popped_;
    CHECK(first_ <= last_);
    while (!marks_.empty() && marks_.front().index < popped_) marks_.pop_front();
    return pointer(entry);
  }

 private:
  static constexpr int kPointerBits = 48;
  static constexpr uint64_t kMostDistance = 0xffff;
  static constexpr uint64_t kBridge = 1;  // no address of a record has that bit
  static constexpr uint64_t kMarkEvery = 1024;

  static uint64_t pack(uint64_t distance, KeyRecord* record) {
    auto address = reinterpret_cast<uint64_t>(record);
    CHECK(address >> kPointerBits == 0);
    CHECK((address & kBridge) == 0);
    return distance << kPointerBits | address;
  }
  static KeyRecord* pointer(uint64_t entry) {
    return reinterpret_cast<KeyRecord*>(entry & ((uint64_t{1} << kPointerBits) - 1));
  }
  void drop_bridges() {
    CHECK(!empty());
    while (entries_.front() & kBridge) {
      first_ += static_cast<int64_t>(entries_.front() >> 1);
      entries_.pop_front();
    }
  }

  struct Mark {
    uint64_t index;  // of the entry among all ever pushed
    int64_t main;
  };

  std::deque<uint64_t> entries_;
  std::deque<Mark> marks_;  // ascending; of entries that are still there
  int64_t first_ = 0;       // main of the entry popped last, <= last_
  int64_t last_ = 0;        // main of the entry pushed last
  uint64_t pushed_ = 0;
  uint64_t popped_ = 0;  // <= pushed_
};

}  // namespace keelson::mvcc
