// lease/lease_heap.h
//
// LeaseHeap orders leases by a moment each, earliest first, with at most one entry per lease, and
// lets an entry be moved in place: a renewal must not leave its old expiry behind.
//
// Threads: one caller at a time. Ties are ordered by id, so the order is deterministic.
// Lifetime: nodes live inside the leases; a node must be erased (or the heap cleared) before it
// dies.
// Cost: set() and erase() O(log n), rebuild() O(n). What is compared lies in the heap itself, so
//   that only an entry that moves touches its lease's memory.

#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"

namespace keelson::lease {

class LeaseHeap {
 public:
  struct Node {
    // Place in the heap; kNowhere if it is not in it.
    uint32_t slot = kNowhere;
  };
  struct Entry {
    MonotonicTime at;
    LeaseId id;
    Node* node = nullptr;
  };
  static constexpr uint32_t kNowhere = UINT32_MAX;

  LeaseHeap() = default;
  LeaseHeap(const LeaseHeap&) = delete;
  LeaseHeap& operator=(const LeaseHeap&) = delete;

  bool empty() const { return heap_.empty(); }
  size_t size() const { return heap_.size(); }
  // The earliest. REQUIRES: !empty().
  const Entry& top() const { return heap_.front(); }

  // Adds the entry's node, or moves it to entry.at.
  void set(const Entry& entry);
  // Takes the node out if it is in.
  void erase(Node& node);
  void clear();
  // Holds exactly these from here on. REQUIRES: no node twice.
  void rebuild(std::vector<Entry> entries);
  // Entries moved so far; for tests.
  uint64_t moves() const { return moves_; }

  void check_invariants() const;

 private:
  static bool before(const Entry& a, const Entry& b) {
    return a.at != b.at ? a.at < b.at : a.id < b.id;
  }
  void place(size_t slot, const Entry& entry);
  void sift_up(size_t slot);
  void sift_down(size_t slot);

  std::vector<Entry> heap_;
  uint64_t moves_ = 0;
};

}  // namespace keelson::lease
