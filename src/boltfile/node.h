// boltfile/node.h
//
// Node is one branch or leaf with everything on it checked: its elements lie inside the bytes,
// behind the table that names them, and its keys are there and ascend. What a Node answers is in
// bounds.
//
// Threads: immutable. Lifetime: views from a Node live as long as it does.
// Errors: DataLoss naming the page.

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "boltfile/format.h"

namespace keelson::boltfile {

class Node {
 public:
  // `bytes` from the page's head to the end of its last element at least. `page` is named when
  // something is wrong; an inline page lies on it and says it is page 0.
  static absl::StatusOr<std::shared_ptr<const Node>> parse(std::string bytes, PageId page);

  // Bytes from the head on that the elements of the page take, as its table says, at most `limit`.
  // REQUIRES: head and table of elements in `bytes` (table_size() of them behind the head).
  static absl::StatusOr<uint64_t> extent(std::string_view bytes, PageId page, uint64_t limit);
  static size_t table_size(const PageHead& head) { return size_t{head.count} * kElementHead; }

  PageId page() const { return page_; }
  // Pages that it takes besides that one.
  uint32_t overflow() const { return load_page_head(bytes_.data()).overflow; }
  bool leaf() const { return leaf_; }
  size_t count() const { return count_; }

  // REQUIRES: i < count().
  std::string_view key(size_t i) const;
  // REQUIRES: leaf().
  std::string_view value(size_t i) const;
  bool is_bucket(size_t i) const;
  // REQUIRES: not leaf().
  PageId child(size_t i) const;

  // The first element whose key is not below `key`; count() if none.
  size_t lower_bound(std::string_view key) const;
  // Memory held.
  size_t footprint() const { return sizeof(Node) + bytes_.capacity(); }

 private:
  Node(std::string bytes, PageId page, const PageHead& head)
      : bytes_(std::move(bytes)), page_(page), leaf_(head.kind == kLeafPage), count_(head.count) {}

  const char* element(size_t i) const { return bytes_.data() + kPageHead + i * kElementHead; }

  const std::string bytes_;
  const PageId page_;
  const bool leaf_;
  const size_t count_;
};

}  // namespace keelson::boltfile
