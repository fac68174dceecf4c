// mvcc/key_tree.h
//
// KeyTree is the writer's side of the key index: a copy-on-write B+tree from user keys to
// KeyRecords, with the number of live keys under every child. A published root never changes;
// readers walk it with TreeView (key_tree_view.h) while the writer builds the next one.
//
// Copies: a node made since the last publish() is changed in place, an older one is copied first
//   and the old one retired. Only inserting or removing a key, or its birth or death, touch the
//   tree; overwriting a live key does not.
// Comparing: all keys under a node lie between two fences (the separators left and right of it on
//   the way down) and so share the fences' common prefix. A node keeps that prefix' length and, per
//   entry, the 8 bytes behind it as a number: nearly every comparison is one of those, without
//   touching a key's memory.
// Threads: one, the writer's.

#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/endian.h"
#include "mvcc/epoch.h"
#include "mvcc/record.h"
#include "mvcc/slab.h"

namespace keelson::mvcc {

struct TreeNode {
  static constexpr uint32_t kFan = 64;

  uint64_t batch;   // made in this batch; the writer may change it in place until publish()
  uint32_t prefix;  // length of the prefix that all keys under this node share
  uint16_t count;   // entries in use
  bool leaf;
  uint64_t heads[kFan];  // the 8 bytes behind the prefix; inner: of the separator (entry 0 unused)
};

struct LeafNode : TreeNode {
  uint64_t live;  // bit i: records[i] is not deleted at the tree's revision
  KeyRecord* records[kFan];
};

// A key of its own memory that divides two subtrees: everything right of it is >= it.
struct Separator {
  uint32_t size;
  std::string_view key() const { return {reinterpret_cast<const char*>(this + 1), size}; }
  static size_t bytes_for(size_t size) { return sizeof(Separator) + size; }
};

struct InnerNode : TreeNode {
  uint32_t live[kFan];  // live keys under each child
  TreeNode* children[kFan];
  Separator* separators[kFan];  // of child i: lower fence; entry 0 is null
};

// Bytes [prefix, prefix + 8) of `key` as a big-endian number, zeros behind its end.
inline uint64_t key_head(std::string_view key, size_t prefix) {
  if (key.size() >= prefix + 8) return load_big64(key.data() + prefix);
  if (key.size() <= prefix) return 0;
  char head[8] = {};
  __builtin_memcpy(head, key.data() + prefix, key.size() - prefix);
  return load_big64(head);
}

class KeyTree {
 public:
  KeyTree(Slab* slab, Epochs* epochs);
  ~KeyTree();  // frees nodes and separators, not the records

  const TreeNode* root() const { return root_; }
  uint64_t live() const;
  uint64_t records() const { return records_; }

  // Null: not in the tree.
  KeyRecord* find(std::string_view key) const;

  // REQUIRES: the key is not in the tree.
  void insert(KeyRecord* record, bool live);
  // REQUIRES: the key is in the tree, and is dead.
  void remove(std::string_view key);
  // REQUIRES: the key is in the tree, and was not so before.
  void set_live(std::string_view key, bool live);
  // The same for many that die: a way down per leaf, not per key. REQUIRES: sorted, no key twice.
  void set_dead(std::span<KeyRecord* const> records);
  // Ways from the root to a leaf that changes have taken; for tests.
  uint64_t descents() const { return descents_; }

  // Everything built so far is visible to readers from here on and stays as it is.
  void publish() { ++batch_; }

  // Replaces the empty tree by one of these records. REQUIRES: sorted by key, no key twice.
  void build(const std::vector<KeyRecord*>& records);

  // Asserts order, fences, prefixes, heads and counts everywhere.
  void check_invariants() const;

 private:
  struct Fences {
    std::string_view low, high;
    bool has_low = false, has_high = false;
    size_t common_prefix() const;
  };
  struct Step {
    InnerNode* node;
    uint32_t index;
    Fences fences;  // of the node
  };
  // The way from the root to the leaf of `key`, every node on it ours to change.
  struct Path {
    std::array<Step, 16> steps;
    uint32_t depth = 0;
    LeafNode* leaf = nullptr;
    Fences fences;  // of the leaf
  };

  LeafNode* new_leaf(uint32_t prefix);
  InnerNode* new_inner(uint32_t prefix);
  Separator* new_separator(std::string_view key);
  TreeNode* writable(TreeNode* node);
  void retire(TreeNode* node);
  void open_path(std::string_view key, Path* path);
  static void add_live(Path& path, int32_t delta);
  static Fences child_fences(const InnerNode* node, uint32_t index, const Fences& fences);

  void split_leaf(Path& path, std::string_view key);
  void split_inner(Path& path, uint32_t level);
  void add_child(Path& path, uint32_t level, Separator* separator, TreeNode* left, TreeNode* right);
  void shrink_leaf(Path& path);
  void shrink_inner(Path& path, uint32_t level);
  void merge_leaves(Path& path, uint32_t left);
  void merge_inner(Path& path, uint32_t level, uint32_t left);
  void drop_child(InnerNode* node, uint32_t index);
  static void set_prefix(LeafNode* leaf, size_t prefix);
  static void set_prefix(InnerNode* node, size_t prefix);
  struct Checked {
    uint64_t live;
    uint64_t records;
    uint32_t height;
  };
  Checked check(const TreeNode* node, const Fences& fences) const;
  void free_tree(TreeNode* node);

  Slab* slab_;
  Epochs* epochs_;
  TreeNode* root_;
  uint64_t batch_ = 1;
  uint64_t records_ = 0;
  uint64_t descents_ = 0;
};

// Entry of `node` under which `key` belongs: for a leaf the first entry >= key (maybe == count),
// for an inner node the child to go down to.
uint32_t lower_bound(const LeafNode* leaf, std::string_view key);
uint32_t child_index(const InnerNode* node, std::string_view key);
uint64_t live_below(const TreeNode* node);

}  // namespace keelson::mvcc
