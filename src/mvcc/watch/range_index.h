// mvcc/watch/range_index.h
//
// RangeIndex finds the groups of watchers whose key or range contains a key. All watchers of one
// key, or of one and the same range, are one group, so that a thousand watchers of a prefix cost
// one match per event. Single keys are in a hash map; ranges are in a treap ordered by their begin,
// each node knowing the farthest end below it, so that a key is matched in O(log n) per hit.
//
// Threads: one lane.
// Lifetime: the index owns the groups; a group lives from obtain() until release().

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "base/random.h"
#include "base/text.h"
#include "mvcc/event.h"

namespace keelson::watch {

struct Watcher;

// Which keys: one, [key, end), or everything from `key` on. Its own copy, unlike base/key_range.h.
struct WatchedKeys {
  enum class Kind : uint8_t { kOne, kBounded, kFrom };
  Kind kind = Kind::kOne;
  std::string begin;
  std::string end;  // of kBounded

  bool contains(std::string_view key) const {
    if (kind == Kind::kOne) return key == begin;
    return key >= begin && ends_after(key);
  }
  bool ends_after(std::string_view key) const {
    return kind == Kind::kFrom || (kind == Kind::kBounded ? key < end : key == begin);
  }
  friend bool operator==(const WatchedKeys&, const WatchedKeys&) = default;
};

// What watchers of one group may differ in and still see other bytes: filters and prev_kv.
struct Variant {
  bool no_put = false;
  bool no_delete = false;
  bool prev_kv = false;
  friend bool operator==(const Variant&, const Variant&) = default;
};

struct WatchGroup {
  struct Members {
    Variant variant;
    std::vector<Watcher*> synced;
  };

  WatchedKeys range;
  uint64_t serial = 0;  // no two groups of an index ever have the same
  size_t watchers = 0;  // in any state
  absl::InlinedVector<Members, 1> members;

  std::vector<const mvcc::Event*> matched;  // of the new events being delivered
  size_t synced_count = 0;

  Members& members_of(const Variant& variant);

 private:
  friend class RangeIndex;
  uint64_t priority_ = 0;
  std::unique_ptr<WatchGroup> left_, right_;
  const WatchGroup* farthest_ = nullptr;  // in this subtree
};

class RangeIndex {
 public:
  // The group of exactly this range, made if there is none. Each call is matched by a release().
  WatchGroup& obtain(const WatchedKeys& range);
  void release(WatchGroup& group);

  // Calls visit(WatchGroup&) for each group whose range contains the key; the single key's first,
  // then ranges by begin.
  template <typename Visit>
  void match(std::string_view key, Visit&& visit) const {
    auto it = singles_.find(to_absl(key));
    if (it != singles_.end()) visit(*it->second);
    stab(root_.get(), key, visit);
  }

  size_t size() const { return size_; }
  void check_invariants() const;

 private:
  using Tree = std::unique_ptr<WatchGroup>;

  static int compare(const WatchedKeys& a, const WatchedKeys& b);
  static bool ends_before(const WatchGroup& a, const WatchGroup& b);
  static void update(WatchGroup& node);
  static Tree merge(Tree left, Tree right);
  // Ranges below `at` go to the first.
  static std::pair<Tree, Tree> split(Tree tree, const WatchedKeys& at);
  static void insert(Tree& tree, Tree node);
  static void erase(Tree& tree, const WatchedKeys& range);
  WatchGroup* find(const WatchedKeys& range) const;
  static size_t check(const WatchGroup* node);

  template <typename Visit>
  static void stab(WatchGroup* node, std::string_view key, Visit&& visit) {
    if (node == nullptr || !node->farthest_->range.ends_after(key)) return;
    stab(node->left_.get(), key, visit);
    if (std::string_view(node->range.begin) > key) return;
    if (node->range.ends_after(key)) visit(*node);
    stab(node->right_.get(), key, visit);
  }

  // The views point into the groups.
  absl::flat_hash_map<absl::string_view, std::unique_ptr<WatchGroup>> singles_;
  Tree root_;
  size_t size_ = 0;
  uint64_t next_serial_ = 1;
  // Balances the tree against any order of insertion but a malicious one; a client that tries costs
  // a lane time, as it could with as many ranges that all match.
  SeededRandom priorities_{0x6b65656c736f6e};
};

}  // namespace keelson::watch
