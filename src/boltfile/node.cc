#include "boltfile/node.h"

#include <algorithm>

#include "base/check.h"
#include "base/text.h"

namespace keelson::boltfile {
namespace {

struct Place {
  uint64_t begin = 0;  // from the page's head
  uint64_t key_size = 0;
  uint64_t size = 0;  // key and value
};

Place place_of(std::string_view bytes, bool leaf, size_t i) {
  const uint64_t at = kPageHead + i * kElementHead;
  if (leaf) {
    const LeafElement e = load_leaf_element(bytes.data() + at);
    return {at + e.offset, e.key_size, uint64_t{e.key_size} + e.value_size};
  }
  const BranchElement e = load_branch_element(bytes.data() + at);
  return {at + e.offset, e.key_size, e.key_size};
}

}  // namespace

absl::StatusOr<uint64_t> Node::extent(std::string_view bytes, PageId page, uint64_t limit) {
  const PageHead head = load_page_head(bytes.data());
  if (head.kind != kLeafPage && head.kind != kBranchPage) {
    return damaged(page, cat("neither leaf nor branch (", head.kind, ")"));
  }
  const uint64_t table_end = kPageHead + table_size(head);
  uint64_t end = table_end;
  CHECK(table_end <= bytes.size());
  for (size_t i = 0; i < head.count; ++i) {
    const Place place = place_of(bytes, head.kind == kLeafPage, i);
    if (place.begin < table_end || place.begin > limit || place.size > limit - place.begin) {
      return damaged(page, cat("element ", i, " lies outside of the page"));
    }
    if (place.key_size == 0) return damaged(page, cat("element ", i, " has an empty key"));
    end = std::max(end, place.begin + place.size);
  }
  return end;
}

absl::StatusOr<std::shared_ptr<const Node>> Node::parse(std::string bytes, PageId page) {
  if (bytes.size() < kPageHead) return damaged(page, "cut short");
  const PageHead head = load_page_head(bytes.data());
  if (table_size(head) > bytes.size() - kPageHead) return damaged(page, "cut short");
  absl::StatusOr<uint64_t> end = extent(bytes, page, bytes.size());
  if (!end.ok()) return end.status();
  std::shared_ptr<const Node> node(new Node(std::move(bytes), page, head));
  for (size_t i = 1; i < node->count(); ++i) {
    if (node->key(i - 1) >= node->key(i)) {
      return damaged(page, cat("the keys of elements ", i - 1, " and ", i, " do not ascend"));
    }
  }
  return node;
}

std::string_view Node::key(size_t i) const {
  DCHECK(i < count_);
  const Place place = place_of(bytes_, leaf_, i);
  return {bytes_.data() + place.begin, static_cast<size_t>(place.key_size)};
}

std::string_view Node::value(size_t i) const {
  DCHECK(i < count_);
  DCHECK(leaf_);
  const Place place = place_of(bytes_, leaf_, i);
  return {bytes_.data() + place.begin + place.key_size,
          static_cast<size_t>(place.size - place.key_size)};
}

bool Node::is_bucket(size_t i) const {
  DCHECK(i < count_);
  DCHECK(leaf_);
  return (load_leaf_element(element(i)).flags & kBucketElement) != 0;
}

PageId Node::child(size_t i) const {
  DCHECK(i < count_);
  DCHECK(!leaf_);
  return load_branch_element(element(i)).child;
}

size_t Node::lower_bound(std::string_view key) const {
  size_t from = 0, to = count_;
  while (from < to) {
    const size_t middle = from + (to - from) / 2;
    if (this->key(middle) < key) {
      from = middle + 1;
    } else {
      to = middle;
    }
  }
  return from;
}

}  // namespace keelson::boltfile
