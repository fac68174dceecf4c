// mvcc/liveness_ring.h
//
// LivenessRing remembers the last births and deaths of keys, so that the number of keys in a range
// at a somewhat older revision is the number now, corrected by what happened in between.
//
// Threads: push() and forget_up_to() the writer; count_change() any reader inside an epoch section
//   (entries point to records).
// How a reader knows that it was not overtaken: the writer raises floor_ before it overwrites an
//   entry, and the reader looks at floor_ again when it is done.

#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include "mvcc/record.h"

namespace keelson::mvcc {

class LivenessRing {
 public:
  // `floor`: nothing is known of changes at or before this revision.
  LivenessRing(size_t capacity, int64_t floor)
      : entries_(capacity < 1 ? 1 : capacity), floor_(floor) {}

  void push(int64_t main, KeyRecord* record, bool born);
  // The records that died at or before `revision` may go away.
  void forget_up_to(int64_t revision) {
    if (revision > floor_.load(std::memory_order_relaxed)) {
      floor_.store(revision, std::memory_order_seq_cst);
    }
  }
  // Entries pushed so far; a published root keeps it.
  uint64_t end() const { return end_; }

  // Births minus deaths of keys for which in_range(key), of the entries before `end` with a main >
  // `revision`; all entries before `end` have a main <= `newest`. nullopt: not remembered, or more
  // than `most` entries to look at.
  template <typename InRange>
  std::optional<int64_t> count_change(uint64_t end, int64_t newest, int64_t revision, uint64_t most,
                                      InRange&& in_range) const {
    if (revision < floor_.load(std::memory_order_seq_cst)) return std::nullopt;
    int64_t change = 0;
    uint64_t looked = 0;
    for (uint64_t at = end; at > 0; --at) {
      const Entry& entry = entries_[(at - 1) % entries_.size()];
      int64_t main = entry.main.load(std::memory_order_acquire);
      if (main <= revision) break;
      if (main > newest) return std::nullopt;  // overtaken
      if (++looked > most || looked > entries_.size()) return std::nullopt;
      uintptr_t packed = entry.record.load(std::memory_order_acquire);
      auto* record = reinterpret_cast<const KeyRecord*>(packed & ~uintptr_t{1});
      if (record && in_range(record->key())) change += packed & 1 ? 1 : -1;
    }
    if (revision < floor_.load(std::memory_order_seq_cst)) return std::nullopt;
    return change;
  }

 private:
  struct Entry {
    std::atomic<int64_t> main{0};
    std::atomic<uintptr_t> record{0};  // bit 0: born
  };
  std::vector<Entry> entries_;
  uint64_t end_ = 0;
  std::atomic<int64_t> floor_;
};

inline void LivenessRing::push(int64_t main, KeyRecord* record, bool born) {
  Entry& entry = entries_[end_ % entries_.size()];
  if (end_ >= entries_.size()) forget_up_to(entry.main.load(std::memory_order_relaxed));
  entry.record.store(reinterpret_cast<uintptr_t>(record) | uintptr_t{born},
                     std::memory_order_release);
  entry.main.store(main, std::memory_order_release);
  ++end_;
}

}  // namespace keelson::mvcc
