#include "boltfile/pages.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "base/text.h"

namespace keelson::boltfile {
namespace {

// Read ahead where pages have followed each other so far: twice as much each time, so that little
// is read for nothing where they end to do so.
constexpr size_t kFirstWindow = 8 << 10;
constexpr size_t kLargestWindow = 64 << 10;
// A gap that is read rather than to be told of another piece.
constexpr uint64_t kGap = 64 << 10;

}  // namespace

absl::StatusOr<std::shared_ptr<const Node>> Pages::load(PageId page) {
  if (auto it = places_.find(page); it != places_.end()) {
    cached_.splice(cached_.begin(), cached_, it->second);
    return it->second->node;
  }
  absl::StatusOr<std::string> bytes = read_node(page);
  if (!bytes.ok()) return bytes.status();
  absl::StatusOr<std::shared_ptr<const Node>> node = Node::parse(std::move(*bytes), page);
  if (node.ok()) remember(page, *node);
  return node;
}

void Pages::expect(const Node& branch) const {
  CHECK(!branch.leaf());
  std::vector<PageId> pages;
  for (size_t i = 0; i < branch.count(); ++i) {
    if (branch.child(i) < meta_.high_water) pages.push_back(branch.child(i));
  }
  std::sort(pages.begin(), pages.end());
  for (size_t i = 0; i < pages.size();) {
    const uint64_t from = begin(pages[i]);
    uint64_t to = from;
    for (; i < pages.size() && begin(pages[i]) - to <= kGap; ++i) {
      to = begin(pages[i]) + meta_.page_size;
    }
    source_->expect(from, to - from);
  }
}

absl::StatusOr<PageHead> Pages::head(PageId page) {
  std::string bytes;
  if (absl::Status s = read(page, 0, kPageHead, &bytes); !s.ok()) return s;
  const PageHead head = load_page_head(bytes.data());
  if (absl::Status s = check_head(page, head); !s.ok()) return s;
  return head;
}

absl::Status Pages::read(PageId page, uint64_t offset, size_t size, std::string* out) {
  if (page < PageId(2) || page >= meta_.high_water) {
    return damaged(page, cat("is named, but pages are 2 to ", meta_.high_water.value - 1));
  }
  out->resize(size);
  return read_at(begin(page) + offset, out->data(), size);
}

absl::Status Pages::check_head(PageId page, const PageHead& head) const {
  if (head.id != page) return damaged(page, cat("says that it is page ", head.id.value));
  if (head.overflow >= meta_.high_water.value - page.value) {
    return damaged(page, cat("goes on for ", head.overflow, " pages, past the last"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> Pages::read_node(PageId page) {
  std::string bytes;
  ahead_ = begin(page) != next_ ? 0 : std::clamp(2 * ahead_, kFirstWindow, kLargestWindow);
  if (absl::Status s = read(page, 0, meta_.page_size, &bytes); !s.ok()) return s;
  const PageHead head = load_page_head(bytes.data());
  if (absl::Status s = check_head(page, head); !s.ok()) return s;
  const uint64_t run = (uint64_t{head.overflow} + 1) * meta_.page_size;
  const uint64_t table_end = kPageHead + Node::table_size(head);
  if (table_end > run) return damaged(page, cat("has no room for its ", head.count, " elements"));
  if (absl::Status s = extend(page, table_end, &bytes); !s.ok()) return s;
  absl::StatusOr<uint64_t> end = Node::extent(bytes, page, run);
  if (!end.ok()) return end.status();
  if (*end > limits_.largest_node) {
    return absl::ResourceExhaustedError(cat("boltfile: page ", page.value, " takes ", *end,
                                            " bytes, more than ", limits_.largest_node));
  }
  if (absl::Status s = extend(page, *end, &bytes); !s.ok()) return s;
  next_ = begin(page) + run;
  return bytes;
}

absl::Status Pages::extend(PageId page, uint64_t size, std::string* bytes) {
  const size_t have = bytes->size();
  if (size <= have) return absl::OkStatus();
  bytes->resize(size);
  return read_at(begin(page) + have, bytes->data() + have, size - have);
}

absl::Status Pages::read_at(uint64_t offset, char* out, size_t size) {
  const bool inside = offset >= window_at_ && offset - window_at_ <= window_.size() &&
                      size <= window_.size() - (offset - window_at_);
  if (!inside) {
    const uint64_t end = begin(meta_.high_water);
    const uint64_t window = offset < end ? std::min<uint64_t>(ahead_, end - offset) : 0;
    if (size >= window) return source_->read(offset, out, size);
    window_.resize(window);
    window_at_ = offset;
    if (absl::Status s = source_->read(offset, window_.data(), window_.size()); !s.ok()) {
      window_.clear();
      return s;
    }
  }
  std::memcpy(out, window_.data() + (offset - window_at_), size);
  return absl::OkStatus();
}

void Pages::remember(PageId page, std::shared_ptr<const Node> node) {
  cached_bytes_ += node->footprint();
  cached_.push_front({page, std::move(node)});
  places_[page] = cached_.begin();
  while (cached_bytes_ > limits_.cache_bytes && !cached_.empty()) {
    cached_bytes_ -= cached_.back().node->footprint();
    places_.erase(cached_.back().page);
    cached_.pop_back();
  }
}

}  // namespace keelson::boltfile
