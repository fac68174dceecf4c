// lease/lease_heap.h
//
// LeaseHeap orders leases by a moment each, earliest first, with at most one entry per lease, and
// lets an entry be moved in place: a renewal must not leave its old expiry behind.
//
// Threads: one caller at a time. Ties are ordered by id, so the order is deterministic.
// Lifetime: nodes live inside the leases; a node must be erased (or the heap cleared) before it
// dies.

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
    LeaseId id;
    MonotonicTime at;
    // Place in the heap; kNowhere if it is not in it.
    uint32_t slot = kNowhere;
  };
  static constexpr uint32_t kNowhere = UINT32_MAX;

  LeaseHeap() = default;
  LeaseHeap(const LeaseHeap&) = delete;
  LeaseHeap& operator=(const LeaseHeap&) = delete;

  bool empty() const { return heap_.empty(); }
  size_t size() const { return heap_.size(); }
  // The earliest. REQUIRES: !empty().
  Node& top() const { return *heap_.front(); }

  // Adds the node, or moves it to `at`.
  void set(Node& node, MonotonicTime at);
  // Takes the node out if it is in.
  void erase(Node& node);
  void clear();

  void check_invariants() const;

 private:
  static bool before(const Node& a, const Node& b) {
    return a.at != b.at ? a.at < b.at : a.id < b.id;
  }
  void place(size_t slot, Node* node);
  void sift_up(size_t slot);
  void sift_down(size_t slot);

  std::vector<Node*> heap_;
};

}  // namespace keelson::lease
