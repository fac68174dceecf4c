#include "mvcc/key_tree.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>

#include "base/check.h"
#include "mvcc/key_tree_view.h"

namespace keelson::mvcc {
namespace {

constexpr uint32_t kFan = TreeNode::kFan;
// A node this empty is merged with a neighbour if the two leave this much room.
constexpr uint32_t kFew = kFan / 4;
constexpr uint32_t kMergedMost = kFan * 3 / 4;
// How full build() makes nodes: some room for what comes.
constexpr uint32_t kBuiltFull = kFan * 7 / 8;

size_t common(std::string_view a, std::string_view b) {
  size_t n = std::min(a.size(), b.size());
  size_t i = 0;
  while (i < n && a[i] == b[i]) ++i;
  return i;
}

// The shortest key that is > left and <= right.
std::string_view shortest_between(std::string_view left, std::string_view right) {
  return right.substr(0, common(left, right) + 1);
}

LeafNode* as_leaf(TreeNode* node) { return static_cast<LeafNode*>(node); }
InnerNode* as_inner(TreeNode* node) { return static_cast<InnerNode*>(node); }
const LeafNode* as_leaf(const TreeNode* node) { return static_cast<const LeafNode*>(node); }
const InnerNode* as_inner(const TreeNode* node) { return static_cast<const InnerNode*>(node); }

template <typename T>
void open_gap(T* array, uint32_t at, uint32_t count) {
  std::memmove(array + at + 1, array + at, (count - at) * sizeof(T));
}
template <typename T>
void close_gap(T* array, uint32_t at, uint32_t count) {
  std::memmove(array + at, array + at + 1, (count - at - 1) * sizeof(T));
}
template <typename T>
void move_entries(T* to, const T* from, uint32_t count) {
  std::memcpy(to, from, count * sizeof(T));
}

uint64_t low_bits(uint32_t n) { return n >= 64 ? ~uint64_t{0} : (uint64_t{1} << n) - 1; }

}  // namespace

uint32_t lower_bound(const LeafNode* leaf, std::string_view key) {
  uint64_t head = key_head(key, leaf->prefix);
  uint32_t from = 0, n = leaf->count;
  while (n > 0) {
    uint32_t half = n / 2, at = from + half;
    bool less = leaf->heads[at] != head ? leaf->heads[at] < head : leaf->records[at]->key() < key;
    from = less ? at + 1 : from;
    n = less ? n - half - 1 : half;
  }
  return from;
}

uint32_t child_index(const InnerNode* node, std::string_view key) {
  uint64_t head = key_head(key, node->prefix);
  uint32_t from = 1, n = node->count - 1u;  // the first separator > key
  while (n > 0) {
    uint32_t half = n / 2, at = from + half;
    bool not_greater =
        node->heads[at] != head ? node->heads[at] < head : node->separators[at]->key() <= key;
    from = not_greater ? at + 1 : from;
    n = not_greater ? n - half - 1 : half;
  }
  return from - 1;
}

uint64_t live_below(const TreeNode* node) {
  if (node->leaf) return static_cast<uint64_t>(std::popcount(as_leaf(node)->live));
  const InnerNode* inner = as_inner(node);
  uint64_t sum = 0;
  for (uint32_t i = 0; i < inner->count; ++i) sum += inner->live[i];
  return sum;
}

size_t KeyTree::Fences::common_prefix() const {
  return has_low && has_high ? common(low, high) : 0;
}

KeyTree::KeyTree(Slab* slab, Epochs* epochs) : slab_(slab), epochs_(epochs) { root_ = new_leaf(0); }

KeyTree::~KeyTree() { free_tree(root_); }

void KeyTree::free_tree(TreeNode* node) {
  if (!node->leaf) {
    InnerNode* inner = as_inner(node);
    for (uint32_t i = 0; i < inner->count; ++i) {
      free_tree(inner->children[i]);
      Separator* separator = inner->separators[i];
      if (separator) slab_->free(separator, Separator::bytes_for(separator->size));
    }
  }
  slab_->free(node, node->leaf ? sizeof(LeafNode) : sizeof(InnerNode));
}

uint64_t KeyTree::live() const { return live_below(root_); }

LeafNode* KeyTree::new_leaf(uint32_t prefix) {
  auto* leaf = static_cast<LeafNode*>(slab_->allocate(sizeof(LeafNode)));
  leaf->batch = batch_;
  leaf->prefix = prefix;
  leaf->count = 0;
  leaf->leaf = true;
  leaf->live = 0;
  return leaf;
}

InnerNode* KeyTree::new_inner(uint32_t prefix) {
  auto* inner = static_cast<InnerNode*>(slab_->allocate(sizeof(InnerNode)));
  inner->batch = batch_;
  inner->prefix = prefix;
  inner->count = 0;
  inner->leaf = false;
  return inner;
}

Separator* KeyTree::new_separator(std::string_view key) {
  void* memory = slab_->allocate(Separator::bytes_for(key.size()));
  auto* separator = new (memory) Separator{static_cast<uint32_t>(key.size())};
  if (!key.empty()) std::memcpy(separator + 1, key.data(), key.size());
  return separator;
}

void KeyTree::retire(TreeNode* node) {
  size_t size = node->leaf ? sizeof(LeafNode) : sizeof(InnerNode);
  // One that no reader ever saw can be used again at once.
  if (node->batch == batch_) {
    slab_->free(node, size);
  } else {
    epochs_->retire_piece(node, size);
  }
}

TreeNode* KeyTree::writable(TreeNode* node) {
  if (node->batch == batch_) return node;
  TreeNode* copy;
  if (node->leaf) {
    copy = new_leaf(0);
    *as_leaf(copy) = *as_leaf(node);
  } else {
    copy = new_inner(0);
    *as_inner(copy) = *as_inner(node);
  }
  copy->batch = batch_;
  retire(node);
  return copy;
}

KeyTree::Fences KeyTree::child_fences(const InnerNode* node, uint32_t index, const Fences& fences) {
  Fences child = fences;
  if (index > 0) {
    child.low = node->separators[index]->key();
    child.has_low = true;
  }
  if (index + 1u < node->count) {
    child.high = node->separators[index + 1]->key();
    child.has_high = true;
  }
  return child;
}

KeyRecord* KeyTree::find(std::string_view key) const { return find_record(root_, key); }

void KeyTree::open_path(std::string_view key, Path* path) {
  ++descents_;
  root_ = writable(root_);
  TreeNode* node = root_;
  Fences fences;
  while (!node->leaf) {
    InnerNode* inner = as_inner(node);
    uint32_t index = child_index(inner, key);
    CHECK(path->depth < path->steps.size());
    path->steps[path->depth++] = {inner, index, fences};
    inner->children[index] = writable(inner->children[index]);
    fences = child_fences(inner, index, fences);
    node = inner->children[index];
  }
  path->leaf = as_leaf(node);
  path->fences = fences;
}

void KeyTree::add_live(Path& path, int32_t delta) {
  for (uint32_t i = 0; i < path.depth; ++i) {
    path.steps[i].node->live[path.steps[i].index] += static_cast<uint32_t>(delta);
  }
}

void KeyTree::insert(KeyRecord* record, bool live) {
  Path path;
  open_path(record->key(), &path);
  if (path.leaf->count == kFan) {
    split_leaf(path, record->key());
    path = Path();
    open_path(record->key(), &path);
  }
  LeafNode* leaf = path.leaf;
  uint32_t at = lower_bound(leaf, record->key());
  CHECK(leaf->count < kFan);
  open_gap(leaf->heads, at, leaf->count);
  open_gap(leaf->records, at, leaf->count);
  uint64_t above = leaf->live & ~low_bits(at);
  leaf->live = (leaf->live & low_bits(at)) | above << 1 | uint64_t{live} << at;
  leaf->heads[at] = key_head(record->key(), leaf->prefix);
  leaf->records[at] = record;
  ++leaf->count;
  ++records_;
  if (live) add_live(path, 1);
}

void KeyTree::set_live(std::string_view key, bool live) {
  Path path;
  open_path(key, &path);
  uint32_t at = lower_bound(path.leaf, key);
  CHECK(at < path.leaf->count);
  uint64_t bit = uint64_t{1} << at;
  CHECK(((path.leaf->live & bit) != 0) != live);
  path.leaf->live ^= bit;
  add_live(path, live ? 1 : -1);
}

void KeyTree::set_dead(std::span<KeyRecord* const> records) {
  while (!records.empty()) {
    Path path;
    open_path(records.front()->key(), &path);
    LeafNode* leaf = path.leaf;
    int32_t died = 0;
    for (uint32_t at = lower_bound(leaf, records.front()->key());
         at < leaf->count && !records.empty(); ++at) {
      if (leaf->records[at] != records.front()) continue;
      uint64_t bit = uint64_t{1} << at;
      CHECK((leaf->live & bit) != 0);
      leaf->live ^= bit;
      ++died;
      records = records.subspan(1);
    }
    CHECK(died > 0);
    add_live(path, -died);
  }
}

void KeyTree::set_prefix(LeafNode* leaf, size_t prefix) {
  leaf->prefix = static_cast<uint32_t>(prefix);
  for (uint32_t i = 0; i < leaf->count; ++i)
    leaf->heads[i] = key_head(leaf->records[i]->key(), prefix);
}

void KeyTree::set_prefix(InnerNode* node, size_t prefix) {
  node->prefix = static_cast<uint32_t>(prefix);
  for (uint32_t i = 1; i < node->count; ++i) {
    node->heads[i] = key_head(node->separators[i]->key(), prefix);
  }
}

// Divides the full leaf in two; where keys arrive in order, the old one stays full.
void KeyTree::split_leaf(Path& path, std::string_view key) {
  LeafNode* left = path.leaf;
  uint32_t at = lower_bound(left, key);
  uint32_t keep = at == kFan ? kFan : kFan / 2;
  LeafNode* right = new_leaf(0);
  std::string_view first;
  if (keep == kFan) {
    first = key;  // the new key alone will start the right leaf
  } else {
    right->count = static_cast<uint16_t>(kFan - keep);
    move_entries(right->records, left->records + keep, right->count);
    right->live = left->live >> keep;
    first = right->records[0]->key();
  }
  Separator* separator = new_separator(shortest_between(left->records[keep - 1]->key(), first));
  left->count = static_cast<uint16_t>(keep);
  left->live &= low_bits(keep);

  Fences low = path.fences, high = path.fences;
  low.high = high.low = separator->key();
  low.has_high = high.has_low = true;
  set_prefix(left, low.common_prefix());
  set_prefix(right, high.common_prefix());
  add_child(path, path.depth, separator, left, right);
}

// Puts `right` behind `left`, the child at steps[level - 1]; level 0 means that left was the root.
void KeyTree::add_child(Path& path, uint32_t level, Separator* separator, TreeNode* left,
                        TreeNode* right) {
  if (level == 0) {
    InnerNode* root = new_inner(0);
    root->count = 1;
    root->heads[0] = 0;
    root->separators[0] = nullptr;
    root->children[0] = left;
    root->live[0] = static_cast<uint32_t>(live_below(left));
    root_ = root;
    // The path grows at its top by this root.
    CHECK(path.depth < path.steps.size());
    for (uint32_t i = path.depth; i > 0; --i) path.steps[i] = path.steps[i - 1];
    path.steps[0] = {root, 0, Fences()};
    ++path.depth;
    level = 1;
  } else if (path.steps[level - 1].node->count == kFan) {
    uint32_t depth = path.depth;
    split_inner(path, level - 1);
    level += path.depth - depth;
  }
  Step& step = path.steps[level - 1];
  InnerNode* node = step.node;
  uint32_t at = step.index + 1;
  open_gap(node->heads, at, node->count);
  open_gap(node->live, at, node->count);
  open_gap(node->children, at, node->count);
  open_gap(node->separators, at, node->count);
  node->heads[at] = key_head(separator->key(), node->prefix);
  node->separators[at] = separator;
  node->children[at] = right;
  node->live[at] = static_cast<uint32_t>(live_below(right));
  node->live[at - 1] = static_cast<uint32_t>(live_below(left));
  ++node->count;
}

// Divides the full node at steps[level]; afterwards the step stands at the half that has its child.
void KeyTree::split_inner(Path& path, uint32_t level) {
  Step step = path.steps[level];
  InnerNode* left = step.node;
  uint32_t keep = step.index == kFan - 1 ? kFan - 1 : kFan / 2;
  InnerNode* right = new_inner(0);
  right->count = static_cast<uint16_t>(kFan - keep);
  move_entries(right->live, left->live + keep, right->count);
  move_entries(right->children, left->children + keep, right->count);
  move_entries(right->separators, left->separators + keep, right->count);
  Separator* separator = std::exchange(right->separators[0], nullptr);
  right->heads[0] = 0;
  left->count = static_cast<uint16_t>(keep);

  Fences low = step.fences, high = step.fences;
  low.high = high.low = separator->key();
  low.has_high = high.has_low = true;
  set_prefix(left, low.common_prefix());
  set_prefix(right, high.common_prefix());

  uint32_t depth = path.depth;
  add_child(path, level, separator, left, right);
  level += path.depth - depth;
  if (step.index < keep) {
    path.steps[level] = {left, step.index, low};
  } else {
    path.steps[level] = {right, step.index - keep, high};
  }
}

void KeyTree::remove(std::string_view key) {
  Path path;
  open_path(key, &path);
  LeafNode* leaf = path.leaf;
  uint32_t at = lower_bound(leaf, key);
  CHECK(at < leaf->count);
  CHECK((leaf->live >> at & 1) == 0);
  close_gap(leaf->heads, at, leaf->count);
  close_gap(leaf->records, at, leaf->count);
  uint64_t above = at == 63 ? 0 : leaf->live >> (at + 1) << at;
  leaf->live = (leaf->live & low_bits(at)) | above;
  --leaf->count;
  --records_;
  if (leaf->count < kFew) shrink_leaf(path);
}

void KeyTree::shrink_leaf(Path& path) {
  if (path.depth == 0) return;
  Step& step = path.steps[path.depth - 1];
  for (uint32_t left : {step.index, step.index - 1}) {
    if (left + 1 >= step.node->count || left > step.index) continue;  // also when it wrapped
    uint32_t together = step.node->children[left]->count + step.node->children[left + 1]->count;
    // An empty leaf goes in any case: nothing else would ever remove it.
    if (together > kMergedMost && path.leaf->count != 0) continue;
    merge_leaves(path, left);
    return;
  }
}

void KeyTree::merge_leaves(Path& path, uint32_t left_index) {
  Step& step = path.steps[path.depth - 1];
  InnerNode* parent = step.node;
  LeafNode* left = as_leaf(writable(parent->children[left_index]));
  LeafNode* right = as_leaf(parent->children[left_index + 1]);
  CHECK(uint32_t{left->count} + right->count <= kFan);
  move_entries(left->records + left->count, right->records, right->count);
  if (right->count > 0) left->live |= right->live << left->count;
  left->count = static_cast<uint16_t>(left->count + right->count);
  parent->children[left_index] = left;
  retire(right);
  drop_child(parent, left_index + 1);
  Fences fences = child_fences(parent, left_index, step.fences);
  set_prefix(left, fences.common_prefix());
  shrink_inner(path, path.depth - 1);
}

// Takes out child `index`, whose keys are now under the child before it.
void KeyTree::drop_child(InnerNode* node, uint32_t index) {
  CHECK(index > 0);
  node->live[index - 1] += node->live[index];
  Separator* separator = node->separators[index];
  epochs_->retire_piece(separator, Separator::bytes_for(separator->size));
  close_gap(node->heads, index, node->count);
  close_gap(node->live, index, node->count);
  close_gap(node->children, index, node->count);
  close_gap(node->separators, index, node->count);
  --node->count;
}

void KeyTree::shrink_inner(Path& path, uint32_t level) {
  InnerNode* node = path.steps[level].node;
  if (level == 0) {
    if (node->count > 1) return;
    root_ = node->children[0];
    retire(node);
    return;
  }
  if (node->count >= kFew) return;
  Step& up = path.steps[level - 1];
  for (uint32_t left : {up.index, up.index - 1}) {
    if (left + 1 >= up.node->count || left > up.index) continue;
    uint32_t together = up.node->children[left]->count + up.node->children[left + 1]->count;
    if (together > kMergedMost) continue;
    merge_inner(path, level, left);
    return;
  }
}

void KeyTree::merge_inner(Path& path, uint32_t level, uint32_t left_index) {
  Step& up = path.steps[level - 1];
  InnerNode* parent = up.node;
  InnerNode* left = as_inner(writable(parent->children[left_index]));
  InnerNode* right = as_inner(parent->children[left_index + 1]);
  uint32_t at = left->count;
  move_entries(left->live + at, right->live, right->count);
  move_entries(left->children + at, right->children, right->count);
  move_entries(left->separators + at, right->separators, right->count);
  // The fence between the two becomes the lower fence of the right one's first child.
  left->separators[at] = new_separator(parent->separators[left_index + 1]->key());
  left->count = static_cast<uint16_t>(at + right->count);
  parent->children[left_index] = left;
  retire(right);
  drop_child(parent, left_index + 1);
  Fences fences = child_fences(parent, left_index, up.fences);
  set_prefix(left, fences.common_prefix());
  shrink_inner(path, level - 1);
}

void KeyTree::build(const std::vector<KeyRecord*>& records) {
  CHECK(records_ == 0);
  if (records.empty()) return;
  records_ = records.size();
  struct Built {
    TreeNode* node;
    Separator* low;  // null for the first
  };
  std::vector<Built> level;
  for (size_t from = 0; from < records.size(); from += kBuiltFull) {
    LeafNode* leaf = new_leaf(0);
    leaf->count = static_cast<uint16_t>(std::min<size_t>(kBuiltFull, records.size() - from));
    for (uint32_t i = 0; i < leaf->count; ++i) {
      KeyRecord* record = records[from + i];
      leaf->records[i] = record;
      if (!record->head.load(std::memory_order_relaxed)->tombstone())
        leaf->live |= uint64_t{1} << i;
    }
    Separator* low = nullptr;
    if (from > 0) {
      low = new_separator(shortest_between(records[from - 1]->key(), records[from]->key()));
    }
    level.push_back({leaf, low});
  }
  auto fence = [&](size_t from, size_t to) {
    Fences fences;
    if (level[from].low) fences.low = level[from].low->key(), fences.has_low = true;
    if (to < level.size()) fences.high = level[to].low->key(), fences.has_high = true;
    return fences.common_prefix();
  };
  for (size_t i = 0; i < level.size(); ++i) set_prefix(as_leaf(level[i].node), fence(i, i + 1));
  retire(root_);
  while (level.size() > 1) {
    std::vector<Built> above;
    for (size_t from = 0; from < level.size(); from += kBuiltFull) {
      InnerNode* inner = new_inner(0);
      inner->count = static_cast<uint16_t>(std::min<size_t>(kBuiltFull, level.size() - from));
      for (uint32_t i = 0; i < inner->count; ++i) {
        inner->children[i] = level[from + i].node;
        inner->live[i] = static_cast<uint32_t>(live_below(level[from + i].node));
        inner->separators[i] = i == 0 ? nullptr : level[from + i].low;
      }
      inner->heads[0] = 0;
      set_prefix(inner, fence(from, from + inner->count));
      above.push_back({inner, level[from].low});
    }
    level = std::move(above);
  }
  root_ = level[0].node;
}

KeyTree::Checked KeyTree::check(const TreeNode* node, const Fences& fences) const {
  CHECK(node->prefix <= fences.common_prefix());
  if (node->leaf) {
    const LeafNode* leaf = as_leaf(node);
    CHECK((leaf->live & ~low_bits(leaf->count)) == 0);
    for (uint32_t i = 0; i < leaf->count; ++i) {
      std::string_view key = leaf->records[i]->key();
      CHECK(leaf->heads[i] == key_head(key, leaf->prefix));
      CHECK(i == 0 || leaf->records[i - 1]->key() < key);
      CHECK(!fences.has_low || fences.low <= key);
      CHECK(!fences.has_high || key < fences.high);
      const Version* head = leaf->records[i]->head.load();
      CHECK(head != nullptr);
      CHECK(head->tombstone() != ((leaf->live >> i & 1) != 0));
    }
    return {static_cast<uint64_t>(std::popcount(leaf->live)), leaf->count, 0};
  }
  const InnerNode* inner = as_inner(node);
  CHECK(inner->count > 0);
  Checked sum{0, 0, 0};
  for (uint32_t i = 0; i < inner->count; ++i) {
    CHECK((inner->separators[i] == nullptr) == (i == 0));
    CHECK(i == 0 || inner->heads[i] == key_head(inner->separators[i]->key(), inner->prefix));
    CHECK(i < 2 || inner->separators[i - 1]->key() < inner->separators[i]->key());
    Checked child = check(inner->children[i], child_fences(inner, i, fences));
    CHECK(child.live == inner->live[i]);
    CHECK(i == 0 || child.height + 1 == sum.height);
    sum = {sum.live + child.live, sum.records + child.records, child.height + 1};
  }
  return sum;
}

void KeyTree::check_invariants() const {
  Checked all = check(root_, Fences());
  CHECK(all.records == records_);
}

}  // namespace keelson::mvcc
