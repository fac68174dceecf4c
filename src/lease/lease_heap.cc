#include "lease/lease_heap.h"

#include <utility>

#include "base/check.h"

namespace keelson::lease {
namespace {

constexpr size_t kAhead = 16;  // nodes to fetch ahead

}  // namespace

void LeaseHeap::set(const Entry& entry) {
  size_t slot = entry.node->slot;
  if (slot == kNowhere) {
    slot = heap_.size();
    heap_.push_back(entry);
  } else {
    CHECK(slot < heap_.size());
    CHECK(heap_[slot].node == entry.node);
    heap_[slot] = entry;
  }
  sift_up(slot);
  sift_down(entry.node->slot);
}

void LeaseHeap::erase(Node& node) {
  if (node.slot == kNowhere) return;
  size_t slot = node.slot;
  CHECK(slot < heap_.size());
  CHECK(heap_[slot].node == &node);
  node.slot = kNowhere;

  Entry last = heap_.back();
  heap_.pop_back();
  if (last.node == &node) return;
  place(slot, last);
  sift_up(slot);
  sift_down(last.node->slot);
}

void LeaseHeap::clear() {
  for (const Entry& entry : heap_) entry.node->slot = kNowhere;
  heap_.clear();
}

void LeaseHeap::rebuild(std::vector<Entry> entries) {
  clear();
  heap_ = std::move(entries);
  CHECK(heap_.size() < kNowhere);
  for (size_t slot = 0; slot < heap_.size(); ++slot) {
    if (slot + kAhead < heap_.size()) __builtin_prefetch(heap_[slot + kAhead].node, 1);
    place(slot, heap_[slot]);
  }
  for (size_t slot = heap_.size() / 2; slot-- > 0;) sift_down(slot);
}

void LeaseHeap::place(size_t slot, const Entry& entry) {
  heap_[slot] = entry;
  entry.node->slot = static_cast<uint32_t>(slot);
  ++moves_;
}

void LeaseHeap::sift_up(size_t slot) {
  Entry entry = heap_[slot];
  while (slot > 0) {
    size_t parent = (slot - 1) / 2;
    if (!before(entry, heap_[parent])) break;
    place(slot, heap_[parent]);
    slot = parent;
  }
  place(slot, entry);
}

void LeaseHeap::sift_down(size_t slot) {
  Entry entry = heap_[slot];
  const size_t from = slot;
  for (size_t child = 2 * slot + 1; child < heap_.size(); child = 2 * slot + 1) {
    if (child + 1 < heap_.size() && before(heap_[child + 1], heap_[child])) ++child;
    if (!before(heap_[child], entry)) break;
    place(slot, heap_[child]);
    slot = child;
  }
  if (slot != from) place(slot, entry);
}

void LeaseHeap::check_invariants() const {
  for (size_t slot = 0; slot < heap_.size(); ++slot) {
    CHECK(heap_[slot].node->slot == slot);
    if (slot > 0) CHECK(!before(heap_[slot], heap_[(slot - 1) / 2]));
  }
}

}  // namespace keelson::lease
