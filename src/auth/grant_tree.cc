#include "auth/grant_tree.h"

#include <utility>

#include "base/check.h"

namespace keelson::auth {
namespace {

using Range = GrantTree::Range;

// < 0, 0 or > 0.
int compare(std::string_view a, std::string_view b) {
  if (a.empty() || b.empty()) return static_cast<int>(a.empty()) - static_cast<int>(b.empty());
  return a.compare(b);
}

// Where `a` lies: < 0 left of `b`, > 0 right of it, 0: they overlap. Not symmetric when one of them
// is inverted.
int side(const Range& a, const Range& b) {
  if (compare(a.begin, b.begin) < 0 && compare(a.end, b.begin) <= 0) return -1;
  return compare(a.begin, b.end) >= 0 ? 1 : 0;
}

}  // namespace

struct GrantTree::Met {
  bool any = false;
  bool gap = false;
  std::string_view first_begin;
  std::string_view last_end;

  // False: enough is known.
  bool add(const Range& range) {
    if (!std::exchange(any, true)) {
      first_begin = range.begin;
      last_end = range.end;
      return true;
    }
    if (compare(last_end, range.begin) < 0) {
      gap = true;
      return false;
    }
    if (compare(range.end, last_end) > 0) last_end = range.end;
    return true;
  }
};

void GrantTree::add(std::string begin, std::string end) {
  CHECK(nodes_.size() < kNone);
  const auto added = static_cast<Place>(nodes_.size());
  Place parent = kNone;
  int side = 0;
  for (Place at = root_; at != kNone; at = nodes_[at].child[side]) {
    parent = at;
    int order = compare(begin, nodes_[at].begin);
    if (order == 0 && order_ == GrantOrder::kByEnd) order = compare(end, nodes_[at].end);
    side = order >= 0;
  }
  Node& node = nodes_.emplace_back();
  node.begin = std::move(begin);
  node.end = std::move(end);
  node.parent = parent;
  (parent == kNone ? root_ : nodes_[parent].child[side]) = added;
  balance(added);
}

// Until no red node has a red parent.
void GrantTree::balance(Place at) {
  while (is_red(nodes_[at].parent)) {
    const Place parent = nodes_[at].parent;
    const Place above = nodes_[parent].parent;  // a root is never red here
    CHECK(above != kNone);
    const int side = side_of(parent);
    const Place uncle = nodes_[above].child[1 - side];
    nodes_[above].red = true;
    if (is_red(uncle)) {
      nodes_[parent].red = nodes_[uncle].red = false;
      at = above;
      continue;
    }
    if (side_of(at) != side) rotate(parent, side);
    nodes_[nodes_[above].child[side]].red = false;
    rotate(above, 1 - side);
    break;
  }
  nodes_[root_].red = false;
}

// The node goes down to `side`, and its other child takes its place.
void GrantTree::rotate(Place at, int side) {
  Node& down = nodes_[at];
  const Place rising = down.child[1 - side];
  CHECK(rising != kNone);
  Node& up = nodes_[rising];
  (down.parent == kNone ? root_ : nodes_[down.parent].child[side_of(at)]) = rising;
  up.parent = std::exchange(down.parent, rising);
  down.child[1 - side] = std::exchange(up.child[side], at);
  if (const Place moved = down.child[1 - side]; moved != kNone) nodes_[moved].parent = at;
}

void GrantTree::finish() {
  if (root_ != kNone) find_last(root_);
}

void GrantTree::find_last(Place at) {
  nodes_[at].last = at;
  for (const Place child : nodes_[at].child) {
    if (child == kNone) continue;
    find_last(child);
    if (compare(last_end(child), last_end(at)) > 0) nodes_[at].last = nodes_[child].last;
  }
}

bool GrantTree::contains(const Range& range) const {
  Met met;
  visit(root_, range, &met);
  return met.any && !met.gap && compare(met.last_end, range.end) >= 0 &&
         compare(met.first_begin, range.begin) <= 0;
}

// False: enough is known. Not all that overlaps an inverted range is met.
bool GrantTree::visit(Place at, const Range& range, Met* met) const {
  if (at == kNone) return true;
  const Node& node = nodes_[at];
  const Range own{node.begin, node.end};
  const int where = side(range, own);
  if (where < 0) return visit(node.child[0], range, met);
  if (where > 0 && side({node.begin, last_end(at)}, range) != 0) return true;
  return visit(node.child[0], range, met) && (where > 0 || met->add(own)) &&
         visit(node.child[1], range, met);
}

bool GrantTree::intersects(const Range& range) const {
  for (Place at = root_; at != kNone;) {
    const Node& node = nodes_[at];
    if (side(range, {node.begin, node.end}) == 0) return true;
    const Place before = node.child[0];
    const bool reaches = before != kNone && compare(last_end(before), range.begin) > 0;
    at = node.child[reaches ? 0 : 1];
  }
  return false;
}

}  // namespace keelson::auth
