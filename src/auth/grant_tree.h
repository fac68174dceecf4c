// auth/grant_tree.h
//
// GrantTree says of a range whose end is not behind its beginning whether etcd would permit it.
// Such a range has no keys, so there is no right answer; but whether a transaction with one is
// carried out or refused must be the same on all members of a cluster, etcd's among them. There it
// depends on which nodes of an interval tree are met on the way, that is on the tree's shape, and
// so on the order in which the grants came. This is the same tree, asked the same way.
//
// Order: by begin, then as GrantOrder says; an empty text, as begin or end, is behind all others.
//   What is equal goes to the right. A red-black tree as in Cormen et al., chapter 13, that is only
//   added to.
// Source: etcd, pkg/adt/interval_tree.go, of v3.7.1 and of v3.6.14; v3.5 has that of v3.6. They
//   differ in where a range is added (commit 21515e145), and in nothing that asks.
// Threads: a value; read from any thread once built.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace keelson::auth {

// Which stands first of two ranges that begin at the same key.
enum class GrantOrder : uint8_t {
  kByEnd,    // the one that ends first: etcd from 3.7 on
  kAsAdded,  // the one that was added first: etcd up to 3.6
};

class GrantTree {
 public:
  explicit GrantTree(GrantOrder order) : order_(order) {}

  // The first key, and the first one behind; empty: behind all.
  struct Range {
    std::string_view begin, end;
  };

  // In the order of the grants.
  void add(std::string begin, std::string end);
  // Behind the last add().
  void finish();

  // Whether what is met of the tree covers the range, as etcd asks for ranges …
  bool contains(const Range& range) const;
  // … and for single keys.
  bool intersects(const Range& range) const;

 private:
  using Place = uint32_t;
  static constexpr Place kNone = UINT32_MAX;

  struct Node {
    std::string begin, end;
    Place parent = kNone;
    Place child[2] = {kNone, kNone};  // what is before, and what is not
    Place last = 0;  // the node below, or this, whose end is last; once finish() has run
    bool red = true;
  };
  // What contains() has met so far.
  struct Met;

  bool is_red(Place at) const { return at != kNone && nodes_[at].red; }
  int side_of(Place at) const { return nodes_[nodes_[at].parent].child[1] == at ? 1 : 0; }
  std::string_view last_end(Place at) const { return nodes_[nodes_[at].last].end; }
  void rotate(Place at, int side);
  void balance(Place at);
  void find_last(Place at);
  bool visit(Place at, const Range& range, Met* met) const;

  GrantOrder order_;
  std::vector<Node> nodes_;
  Place root_ = kNone;
};

}  // namespace keelson::auth
