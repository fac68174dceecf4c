// mvcc/key_tree_view.h
//
// Walking one published root of the key tree: look-ups, counts, cursors.
//
// Threads: any, inside the epoch section in which the root was loaded. Nothing here outlives it.

#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "mvcc/key_tree.h"

namespace keelson::mvcc {

// Null: not in the tree.
KeyRecord* find_record(const TreeNode* root, std::string_view key);

// How many live keys are < key. O(log n).
uint64_t live_rank(const TreeNode* root, std::string_view key);

// Where a walk stands: an entry of a leaf. Walks leaf by leaf so that the caller can fetch ahead.
class TreeCursor {
 public:
  explicit TreeCursor(const TreeNode* root) : root_(root) {}

  // To the first entry >= key; to the first live one of them, passing over subtrees in which no
  // key is live.
  void seek(std::string_view key);
  void seek_first_live(std::string_view key);
  // As seek(), from an entry whose key is < `key`: where that is near, without the way from the
  // root. REQUIRES: valid().
  void seek_ahead(std::string_view key);
  // To the live entry that has exactly `rank` live ones before it; invalid when there is none.
  void seek_live(uint64_t rank);

  bool valid() const { return leaf_ != nullptr; }
  const LeafNode* leaf() const { return leaf_; }
  uint32_t index() const { return index_; }
  KeyRecord* record() const { return leaf_->records[index_]; }
  // Ways from the root that seeks have taken; for tests.
  uint64_t descents() const { return descents_; }
  bool live() const { return leaf_->live >> index_ & 1; }
  // To the next entry; the next live one, at the cost of what is live and not of what is dead; to
  // the next leaf that has entries.
  void next();
  void next_live();
  void next_leaf();
  // The same, passing over subtrees in which no key is live.
  void next_live_leaf();

 private:
  struct Step {
    const InnerNode* node;
    uint32_t index;
  };
  void skip_empty(bool dead_too = false);
  void skip_dead();

  const TreeNode* root_;
  std::array<Step, 16> steps_;
  uint32_t depth_ = 0;
  const LeafNode* leaf_ = nullptr;
  uint32_t index_ = 0;
  uint64_t descents_ = 0;
};

}  // namespace keelson::mvcc
