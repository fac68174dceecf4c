// boltfile/tree_builder.h
//
// How ordered elements become the pages of nested trees: one place that decides, for the planner,
// which knows sizes only, and the writer, which has the bytes. What `Out` does with a page is its
// own affair; which pages there are, in which order, with which elements, follows from the sizes of
// keys and values alone.
//
// A page leaves as soon as it is full, a branch right behind the last of its children, so each
// level of each open tree has one page in memory. The tree of the named buckets comes to its end
// last: its root is the last page of the file.
//
//   leaf    closed when the next element does not fit what is left of its pages. When that would
//           waste more than an eighth it takes a few more pages (large values).
//   branch  has two children at least, which bbolt relies on when it deletes: it leaves when there
//           are two more than fit.
//   inline  a bucket whose leaf takes at most a quarter of a page and holds no bucket.
//
// Out has the types Key and Value (views with size()), OwnedKey (made from a Key), Leaf (with
// add(), first_key() and clear()); and these calls:
//   Status leaf_page(const Leaf&, uint64_t bytes, PageId*)              writes a page, says which
//   Status branch_page(span<const Child>, uint64_t bytes, PageId*)
//   Status with_bucket(PageId root, f), with_inline(const Leaf&, uint64_t bytes, f)
//                                   call f with the Value that stands for a bucket in its parent
//
// Threads: one caller at a time.

#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/check.h"
#include "boltfile/format.h"

namespace keelson::boltfile {

constexpr uint64_t pages_for(uint64_t bytes, uint64_t page_size) {
  return (bytes + page_size - 1) / page_size;
}

// One bucket's tree.
template <typename Out>
class TreeBuilder {
 public:
  using Key = typename Out::Key;
  using Value = typename Out::Value;
  struct Child {
    typename Out::OwnedKey key;
    PageId page;
  };

  TreeBuilder(Out* out, uint64_t page_size)
      : out_(out), page_size_(page_size), leaf_room_(page_size) {}

  absl::Status add(uint32_t flags, Key key, Value value) {
    const uint64_t size = kElementHead + key.size() + value.size();
    if (leaf_count_ > 0 && !fits(size)) {
      if (absl::Status s = close_leaf(); !s.ok()) return s;
    }
    if (leaf_count_ == 0) {
      leaf_room_ = page_size_ * pages_for(kPageHead + size, page_size_);
    }
    leaf_.add(flags, key, value);
    ++leaf_count_;
    leaf_bytes_ += size;
    holds_bucket_ = holds_bucket_ || (flags & kBucketElement) != 0;
    CHECK(leaf_bytes_ <= leaf_room_);
    return absl::OkStatus();
  }

  bool can_be_inline() const {
    return levels_.empty() && !holds_bucket_ && leaf_bytes_ <= page_size_ / 4;
  }
  const typename Out::Leaf& leaf() const { return leaf_; }
  uint64_t leaf_bytes() const { return leaf_bytes_; }

  // Writes what is left; the last page is the root, which is returned.
  absl::StatusOr<PageId> finish() {
    PageId page;
    if (levels_.empty()) {
      if (absl::Status s = out_->leaf_page(leaf_, leaf_bytes_, &page); !s.ok()) return s;
      return page;
    }
    if (absl::Status s = close_leaf(); !s.ok()) return s;
    for (size_t i = 0;; ++i) {
      CHECK(i < kDeepestTree);
      absl::StatusOr<bool> alone = close_level(i, &page);
      if (!alone.ok()) return alone.status();
      if (*alone) return page;
    }
  }

 private:
  static constexpr uint64_t kMostLeafPages = 16;

  // Children of one level of branches that are not in a page yet. The first `ready` of them make a
  // page: they fit one, or are two. ready <= children.size() <= ready + 1 between calls.
  struct Level {
    std::vector<Child> children;
    size_t ready = 0;
    uint64_t ready_bytes = kPageHead;
    uint64_t pages = 0;  // that have left
  };

  bool fits(uint64_t size) {
    if (leaf_count_ == kMostElements) return false;
    if (leaf_bytes_ + size <= leaf_room_) return true;
    const bool wasteful = (leaf_room_ - leaf_bytes_) * 8 > leaf_room_;
    const uint64_t pages = pages_for(leaf_bytes_ + size, page_size_);
    if (!wasteful || pages > kMostLeafPages) return false;
    leaf_room_ = pages * page_size_;
    return true;
  }

  absl::Status close_leaf() {
    PageId page;
    if (absl::Status s = out_->leaf_page(leaf_, leaf_bytes_, &page); !s.ok()) return s;
    Child child{typename Out::OwnedKey(leaf_.first_key()), page};
    leaf_.clear();
    leaf_count_ = 0;
    leaf_bytes_ = kPageHead;
    return add_child(0, std::move(child));
  }

  static uint64_t size_of(const Child& child) { return kElementHead + child.key.size(); }

  absl::Status add_child(size_t at, Child child) {
    if (at == levels_.size()) levels_.emplace_back();
    Level& level = levels_[at];
    level.children.push_back(std::move(child));
    extend(level);
    if (level.children.size() < level.ready + 2) return absl::OkStatus();
    return send(at, level.ready);
  }

  // Counts into the page what follows and fits.
  void extend(Level& level) {
    while (level.ready < level.children.size()) {
      const uint64_t size = size_of(level.children[level.ready]);
      const bool full = level.ready_bytes + size > page_size_ || level.ready == kMostElements;
      if (full && level.ready >= 2) return;
      ++level.ready;
      level.ready_bytes += size;
    }
  }

  // Writes the first `count` children as a page, which becomes a child of the level above.
  absl::Status send(size_t at, size_t count) {
    PageId page;
    Level& level = levels_[at];
    if (absl::Status s = write(level, count, &page); !s.ok()) return s;
    Child child{std::move(level.children[0].key), page};
    level.children.erase(level.children.begin(),
                         level.children.begin() + static_cast<ptrdiff_t>(count));
    level.ready = 0;
    level.ready_bytes = kPageHead;
    extend(level);
    return add_child(at + 1, std::move(child));
  }

  absl::Status write(Level& level, size_t count, PageId* page) {
    CHECK(count >= 2);
    uint64_t bytes = kPageHead;
    for (size_t i = 0; i < count; ++i) bytes += size_of(level.children[i]);
    ++level.pages;
    return out_->branch_page(std::span<const Child>(level.children.data(), count), bytes, page);
  }

  // True: it was one page, the root.
  absl::StatusOr<bool> close_level(size_t at, PageId* page) {
    const size_t left = levels_[at].children.size() - levels_[at].ready;
    CHECK(left <= 1);
    if (left == 1 && levels_[at].ready >= 3) {
      // One child alone is too few for a page: the last two make it.
      if (absl::Status s = send(at, levels_[at].ready - 1); !s.ok()) return s;
    }
    Level& level = levels_[at];
    if (level.pages > 0) {
      if (absl::Status s = send(at, level.children.size()); !s.ok()) return s;
      return false;
    }
    if (absl::Status s = write(level, level.children.size(), page); !s.ok()) return s;
    return true;
  }

  Out* const out_;
  const uint64_t page_size_;

  typename Out::Leaf leaf_;  // the elements since the last leaf left
  size_t leaf_count_ = 0;
  uint64_t leaf_bytes_ = kPageHead;
  uint64_t leaf_room_;  // of whole pages; leaf_bytes_ <= leaf_room_ once there is an element
  bool holds_bucket_ = false;
  std::vector<Level> levels_;  // upwards from the leaves' parents
};

// Buckets within buckets, and at last the tree of all of them.
template <typename Out>
class BucketBuilder {
 public:
  using Key = typename Out::Key;
  using Value = typename Out::Value;

  BucketBuilder(Out* out, uint64_t page_size) : out_(out), page_size_(page_size) {
    open_.emplace_back(out_, page_size_, Key());
  }

  // Buckets that are open; 0: what is added next must be a bucket.
  size_t depth() const { return open_.size() - 1; }

  void begin(Key name) { open_.emplace_back(out_, page_size_, name); }

  absl::Status add(Key key, Value value) { return open_.back().tree.add(0, key, value); }

  // REQUIRES: depth() > 0.
  absl::Status end() {
    CHECK(depth() > 0);
    Open bucket = std::move(open_.back());
    open_.pop_back();
    const Key name(bucket.name);
    auto add = [&](Value value) { return open_.back().tree.add(kBucketElement, name, value); };
    if (bucket.tree.can_be_inline()) {
      return out_->with_inline(bucket.tree.leaf(), bucket.tree.leaf_bytes(), add);
    }
    absl::StatusOr<PageId> root = bucket.tree.finish();
    if (!root.ok()) return root.status();
    return out_->with_bucket(*root, add);
  }

  // The root of all. REQUIRES: depth() == 0.
  absl::StatusOr<PageId> finish() {
    CHECK(depth() == 0);
    return open_.back().tree.finish();
  }

 private:
  struct Open {
    Open(Out* out, uint64_t page_size, Key name) : tree(out, page_size), name(name) {}
    TreeBuilder<Out> tree;
    typename Out::OwnedKey name;
  };

  Out* const out_;
  const uint64_t page_size_;
  std::vector<Open> open_;  // open_[0] is the root
};

}  // namespace keelson::boltfile
