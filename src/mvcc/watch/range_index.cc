#include "mvcc/watch/range_index.h"

#include <utility>

#include "base/check.h"

namespace keelson::watch {

WatchGroup::Members& WatchGroup::members_of(const Variant& variant) {
  for (Members& some : members) {
    if (some.variant == variant) return some;
  }
  members.push_back({variant, {}});
  return members.back();
}

WatchGroup& RangeIndex::obtain(const WatchedKeys& range) {
  WatchGroup* group = find(range);
  if (group == nullptr) {
    auto fresh = std::make_unique<WatchGroup>();
    group = fresh.get();
    group->range = range;
    group->serial = next_serial_++;
    ++size_;
    if (range.kind == WatchedKeys::Kind::kOne) {
      singles_.emplace(to_absl(group->range.begin), std::move(fresh));
    } else {
      group->priority_ = priorities_.next();
      update(*group);
      insert(root_, std::move(fresh));
    }
  }
  ++group->watchers;
  return *group;
}

void RangeIndex::release(WatchGroup& group) {
  CHECK(group.watchers > 0);
  if (--group.watchers > 0) return;
  CHECK(group.synced_count == 0);
  --size_;
  if (group.range.kind == WatchedKeys::Kind::kOne) {
    auto it = singles_.find(to_absl(group.range.begin));
    CHECK(it != singles_.end());
    singles_.erase(it);
  } else {
    WatchedKeys range = group.range;
    erase(root_, range);
  }
}

WatchGroup* RangeIndex::find(const WatchedKeys& range) const {
  if (range.kind == WatchedKeys::Kind::kOne) {
    auto it = singles_.find(to_absl(range.begin));
    return it == singles_.end() ? nullptr : it->second.get();
  }
  WatchGroup* node = root_.get();
  while (node != nullptr) {
    int order = compare(range, node->range);
    if (order == 0) return node;
    node = order < 0 ? node->left_.get() : node->right_.get();
  }
  return nullptr;
}

// By begin, then by end; a range without an end comes last.
int RangeIndex::compare(const WatchedKeys& a, const WatchedKeys& b) {
  if (int order = a.begin.compare(b.begin); order != 0) return order;
  if (a.kind != b.kind) return a.kind < b.kind ? -1 : 1;
  return a.end.compare(b.end);
}

bool RangeIndex::ends_before(const WatchGroup& a, const WatchGroup& b) {
  if (a.range.kind == WatchedKeys::Kind::kFrom) return false;
  return b.range.kind == WatchedKeys::Kind::kFrom || a.range.end < b.range.end;
}

void RangeIndex::update(WatchGroup& node) {
  node.farthest_ = &node;
  for (const WatchGroup* child : {node.left_.get(), node.right_.get()}) {
    if (child && ends_before(*node.farthest_, *child->farthest_)) node.farthest_ = child->farthest_;
  }
}

RangeIndex::Tree RangeIndex::merge(Tree left, Tree right) {
  if (!left) return right;
  if (!right) return left;
  if (left->priority_ > right->priority_) {
    left->right_ = merge(std::move(left->right_), std::move(right));
    update(*left);
    return left;
  }
  right->left_ = merge(std::move(left), std::move(right->left_));
  update(*right);
  return right;
}

std::pair<RangeIndex::Tree, RangeIndex::Tree> RangeIndex::split(Tree tree, const WatchedKeys& at) {
  if (!tree) return {};
  if (compare(tree->range, at) < 0) {
    auto [low, high] = split(std::move(tree->right_), at);
    tree->right_ = std::move(low);
    update(*tree);
    return {std::move(tree), std::move(high)};
  }
  auto [low, high] = split(std::move(tree->left_), at);
  tree->left_ = std::move(high);
  update(*tree);
  return {std::move(low), std::move(tree)};
}

void RangeIndex::insert(Tree& tree, Tree node) {
  if (!tree || node->priority_ > tree->priority_) {
    std::tie(node->left_, node->right_) = split(std::move(tree), node->range);
    tree = std::move(node);
  } else {
    Tree& side = compare(node->range, tree->range) < 0 ? tree->left_ : tree->right_;
    insert(side, std::move(node));
  }
  update(*tree);
}

void RangeIndex::erase(Tree& tree, const WatchedKeys& range) {
  CHECK(tree != nullptr);
  int order = compare(range, tree->range);
  if (order == 0) {
    tree = merge(std::move(tree->left_), std::move(tree->right_));
    return;
  }
  erase(order < 0 ? tree->left_ : tree->right_, range);
  update(*tree);
}

size_t RangeIndex::check(const WatchGroup* node) {
  if (node == nullptr) return 0;
  CHECK(node->watchers > 0);
  CHECK(!ends_before(*node->farthest_, *node));
  if (node->left_) {
    CHECK(compare(node->left_->range, node->range) < 0);
    CHECK(node->left_->priority_ <= node->priority_);
    CHECK(!ends_before(*node->farthest_, *node->left_->farthest_));
  }
  if (node->right_) {
    CHECK(compare(node->right_->range, node->range) > 0);
    CHECK(node->right_->priority_ <= node->priority_);
    CHECK(!ends_before(*node->farthest_, *node->right_->farthest_));
  }
  return 1 + check(node->left_.get()) + check(node->right_.get());
}

void RangeIndex::check_invariants() const {
  CHECK(size_ == singles_.size() + check(root_.get()));
  for (const auto& [key, group] : singles_) {
    CHECK(from_absl(key) == group->range.begin);
    CHECK(group->watchers > 0);
  }
}

}  // namespace keelson::watch
