#include "lease/lease_heap.h"

#include "base/check.h"

namespace keelson::lease {

void LeaseHeap::set(Node& node, MonotonicTime at) {
  node.at = at;
  if (node.slot == kNowhere) {
    heap_.push_back(&node);
    node.slot = static_cast<uint32_t>(heap_.size() - 1);
  }
  sift_up(node.slot);
  sift_down(node.slot);
}

void LeaseHeap::erase(Node& node) {
  if (node.slot == kNowhere) return;
  size_t slot = node.slot;
  CHECK(slot < heap_.size());
  CHECK(heap_[slot] == &node);
  node.slot = kNowhere;

  Node* last = heap_.back();
  heap_.pop_back();
  if (last == &node) return;
  place(slot, last);
  sift_up(last->slot);
  sift_down(last->slot);
}

void LeaseHeap::clear() {
  for (Node* node : heap_) node->slot = kNowhere;
  heap_.clear();
}

void LeaseHeap::place(size_t slot, Node* node) {
  heap_[slot] = node;
  node->slot = static_cast<uint32_t>(slot);
}

void LeaseHeap::sift_up(size_t slot) {
  Node* node = heap_[slot];
  while (slot > 0) {
    size_t parent = (slot - 1) / 2;
    if (!before(*node, *heap_[parent])) break;
    place(slot, heap_[parent]);
    slot = parent;
  }
  place(slot, node);
}

void LeaseHeap::sift_down(size_t slot) {
  Node* node = heap_[slot];
  for (size_t child = 2 * slot + 1; child < heap_.size(); child = 2 * slot + 1) {
    if (child + 1 < heap_.size() && before(*heap_[child + 1], *heap_[child])) ++child;
    if (!before(*heap_[child], *node)) break;
    place(slot, heap_[child]);
    slot = child;
  }
  place(slot, node);
}

void LeaseHeap::check_invariants() const {
  for (size_t slot = 0; slot < heap_.size(); ++slot) {
    CHECK(heap_[slot]->slot == slot);
    if (slot > 0) CHECK(!before(*heap_[slot], *heap_[(slot - 1) / 2]));
  }
}

}  // namespace keelson::lease
