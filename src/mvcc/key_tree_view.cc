#include "mvcc/key_tree_view.h"

#include <bit>

namespace keelson::mvcc {
namespace {

const LeafNode* as_leaf(const TreeNode* node) { return static_cast<const LeafNode*>(node); }
const InnerNode* as_inner(const TreeNode* node) { return static_cast<const InnerNode*>(node); }

}  // namespace

KeyRecord* find_record(const TreeNode* root, std::string_view key) {
  const TreeNode* node = root;
  while (!node->leaf) node = as_inner(node)->children[child_index(as_inner(node), key)];
  const LeafNode* leaf = as_leaf(node);
  uint32_t at = lower_bound(leaf, key);
  if (at == leaf->count || leaf->records[at]->key() != key) return nullptr;
  return leaf->records[at];
}

uint64_t live_rank(const TreeNode* root, std::string_view key) {
  uint64_t rank = 0;
  const TreeNode* node = root;
  while (!node->leaf) {
    const InnerNode* inner = as_inner(node);
    uint32_t index = child_index(inner, key);
    for (uint32_t i = 0; i < index; ++i) rank += inner->live[i];
    node = inner->children[index];
  }
  const LeafNode* leaf = as_leaf(node);
  uint32_t at = lower_bound(leaf, key);
  uint64_t before = at >= 64 ? ~uint64_t{0} : (uint64_t{1} << at) - 1;
  return rank + static_cast<uint64_t>(std::popcount(leaf->live & before));
}

void TreeCursor::seek(std::string_view key) {
  ++descents_;
  depth_ = 0;
  const TreeNode* node = root_;
  while (!node->leaf) {
    const InnerNode* inner = as_inner(node);
    uint32_t index = child_index(inner, key);
    steps_[depth_++] = {inner, index};
    node = inner->children[index];
  }
  leaf_ = as_leaf(node);
  index_ = lower_bound(leaf_, key);
  skip_empty();
}

void TreeCursor::seek_live(uint64_t rank) {
  depth_ = 0;
  leaf_ = nullptr;
  const TreeNode* node = root_;
  while (!node->leaf) {
    const InnerNode* inner = as_inner(node);
    uint32_t index = 0;
    while (index < inner->count && rank >= inner->live[index]) rank -= inner->live[index++];
    if (index == inner->count) return;
    steps_[depth_++] = {inner, index};
    node = inner->children[index];
  }
  uint64_t live = as_leaf(node)->live;
  for (; rank > 0 && live != 0; --rank) live &= live - 1;
  if (live == 0) return;
  leaf_ = as_leaf(node);
  index_ = static_cast<uint32_t>(std::countr_zero(live));
}

// The next entry, one later in the same leaf, the first of the next leaf: in this order, as most of
// those who walk over sorted keys find theirs at once.
void TreeCursor::seek_ahead(std::string_view key) {
  next();
  if (!valid() || record()->key() >= key) return;
  if (leaf_->records[leaf_->count - 1]->key() < key) {
    next_leaf();
    if (!valid() || record()->key() >= key) return;
    if (leaf_->records[leaf_->count - 1]->key() < key) return seek(key);
  }
  index_ = lower_bound(leaf_, key);
}

void TreeCursor::next() {
  ++index_;
  skip_empty();
}

void TreeCursor::seek_first_live(std::string_view key) {
  seek(key);
  skip_dead();
}

void TreeCursor::next_live() {
  ++index_;
  skip_dead();
}

void TreeCursor::skip_dead() {
  while (leaf_) {
    // An index at or past the end of the leaf has no live bit left: shifting by 64 is not for C++.
    uint64_t live = index_ < leaf_->count ? leaf_->live >> index_ << index_ : 0;
    if (live != 0) {
      index_ = static_cast<uint32_t>(std::countr_zero(live));
      return;
    }
    next_live_leaf();
  }
}

void TreeCursor::next_leaf() {
  index_ = leaf_->count;
  skip_empty();
}

void TreeCursor::next_live_leaf() {
  index_ = leaf_->count;
  skip_empty(/*dead_too=*/true);
}

void TreeCursor::skip_empty(bool dead_too) {
  while (leaf_ && index_ >= leaf_->count) {
    while (depth_ > 0 && steps_[depth_ - 1].index + 1u >= steps_[depth_ - 1].node->count) --depth_;
    if (depth_ == 0) {
      leaf_ = nullptr;
      return;
    }
    Step& step = steps_[depth_ - 1];
    ++step.index;
    if (dead_too && step.node->live[step.index] == 0) continue;
    const TreeNode* node = step.node->children[step.index];
    while (!node->leaf) {
      steps_[depth_++] = {as_inner(node), 0};
      node = as_inner(node)->children[0];
    }
    leaf_ = as_leaf(node);
    index_ = 0;
  }
}

}  // namespace keelson::mvcc
