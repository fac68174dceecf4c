#include "boltfile/file.h"

#include <algorithm>
#include <bit>

#include "base/check.h"
#include "base/text.h"

namespace keelson::boltfile {
namespace {

std::optional<Meta> read_meta(const Source& source, uint64_t at) {
  char bytes[kPageHead + kMetaSize];
  if (at > source.size() || source.size() - at < sizeof bytes) return std::nullopt;
  if (!source.read(at, bytes, sizeof bytes).ok()) return std::nullopt;
  std::optional<Meta> meta = load_meta(bytes + kPageHead);
  if (!meta || !std::has_single_bit(meta->page_size)) return std::nullopt;
  if (meta->page_size < kSmallestPage || meta->page_size > kLargestPage) return std::nullopt;
  return meta;
}

// The second meta page lies one page in, and says itself how large that is.
std::optional<Meta> find_second(const Source& source) {
  for (uint64_t size = kSmallestPage; size <= kLargestPage; size *= 2) {
    std::optional<Meta> meta = read_meta(source, size);
    if (meta && meta->page_size == size) return meta;
  }
  return std::nullopt;
}

// That of the newer transaction; the other when that one was torn.
std::optional<Meta> newest_meta(const Source& source) {
  std::optional<Meta> first = read_meta(source, 0);
  std::optional<Meta> second = first ? read_meta(source, first->page_size) : find_second(source);
  if (first && second && second->page_size != first->page_size) second.reset();
  if (!first) return second;
  return second && second->transaction > first->transaction ? second : first;
}

absl::Status check_meta(const Source& source, const Meta& meta) {
  const uint64_t pages = source.size() / meta.page_size;
  if (meta.high_water.value > pages) {
    return absl::DataLossError(
        cat("boltfile: ", source.name(), " has ", pages, " pages of ", meta.high_water.value));
  }
  if (meta.root < PageId(2) || meta.root >= meta.high_water) {
    return damaged(meta.root,
                   cat("is to be the root, but pages are 2 to ", meta.high_water.value - 1));
  }
  if (meta.freelist == kNoFreelist) return absl::OkStatus();
  if (meta.freelist < PageId(2) || meta.freelist >= meta.high_water) {
    return damaged(meta.freelist, cat("is to be the list of free pages, but pages are 2 to ",
                                      meta.high_water.value - 1));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<File>> File::open(const std::string& path, Pages::Limits limits) {
  absl::StatusOr<std::unique_ptr<Source>> source = open_source(path);
  if (!source.ok()) return source.status();
  return open(std::move(*source), limits);
}

absl::StatusOr<std::unique_ptr<File>> File::open(std::unique_ptr<Source> source,
                                                 Pages::Limits limits) {
  const std::optional<Meta> meta = newest_meta(*source);
  if (!meta) {
    return absl::DataLossError(
        cat("boltfile: ", source->name(), " is no database: pages 0 and 1 are both invalid"));
  }
  if (absl::Status s = check_meta(*source, *meta); !s.ok()) return s;
  return std::unique_ptr<File>(new File(std::move(source), *meta, limits));
}

Bucket File::root() {
  Bucket bucket;
  bucket.file_ = this;
  bucket.root_ = meta_.root;
  bucket.sequence_ = meta_.sequence;
  return bucket;
}

absl::StatusOr<Bucket> File::bucket_of(const Node& node, size_t element, size_t depth) {
  CHECK(node.is_bucket(element));
  const std::string_view value = node.value(element);
  if (value.size() < kBucketHead) {
    return damaged(node.page(), cat("the bucket in element ", element, " is cut short"));
  }
  if (depth + 1 >= kDeepestBucket) {
    return damaged(node.page(), cat("buckets within buckets, ", kDeepestBucket, " deep"));
  }
  const BucketHead head = load_bucket_head(value.data());
  Bucket bucket;
  bucket.file_ = this;
  bucket.root_ = head.root;
  bucket.sequence_ = head.sequence;
  bucket.depth_ = depth + 1;
  if (head.root != PageId(0)) return bucket;
  absl::StatusOr<std::shared_ptr<const Node>> inside =
      Node::parse(std::string(value.substr(kBucketHead)), node.page());
  if (!inside.ok()) return inside.status();
  if (!(*inside)->leaf()) {
    return damaged(node.page(), cat("the bucket in element ", element, " is not a leaf"));
  }
  bucket.inline_node_ = std::move(*inside);
  return bucket;
}

absl::StatusOr<Bucket> Bucket::bucket(std::string_view name) const {
  Cursor cursor(*this);
  if (absl::Status s = cursor.seek(name); !s.ok()) return s;
  if (!cursor.valid() || cursor.key() != name) {
    return absl::NotFoundError(cat("boltfile: no bucket \"", name, "\""));
  }
  if (!cursor.is_bucket()) {
    return absl::FailedPreconditionError(cat("boltfile: \"", name, "\" is not a bucket"));
  }
  return cursor.bucket();
}

absl::StatusOr<std::vector<std::string>> Bucket::bucket_names() const {
  std::vector<std::string> names;
  Cursor cursor(*this);
  absl::Status s = cursor.seek_first();
  for (; s.ok() && cursor.valid(); s = cursor.next()) {
    if (cursor.is_bucket()) names.emplace_back(cursor.key());
  }
  if (!s.ok()) return s;
  return names;
}

// Level by level from the root, until there are so many children that some more or less do not
// matter. Whether they are in order is seen by who walks the stretches: here it is only asked that
// the cuts are.
absl::StatusOr<std::vector<std::string>> Bucket::cuts(size_t parts) const {
  constexpr size_t kChildrenOfPart = 4;
  std::vector<std::string> keys;
  if (parts < 2 || root_ == PageId(0)) return keys;
  std::vector<PageId> level = {root_};
  for (size_t depth = 0; depth < kDeepestTree; ++depth) {
    std::vector<PageId> below;
    std::vector<std::string> begins;
    for (const PageId page : level) {
      absl::StatusOr<std::shared_ptr<const Node>> node = file_->pages().load(page);
      if (!node.ok()) return node.status();
      for (size_t i = 0; !(*node)->leaf() && i < (*node)->count(); ++i) {
        below.push_back((*node)->child(i));
        begins.emplace_back((*node)->key(i));
      }
    }
    if (below.empty()) break;
    keys = std::move(begins);
    level = std::move(below);
    if (level.size() >= parts * kChildrenOfPart) break;
  }
  std::vector<std::string> cuts;
  for (size_t i = 1; i < parts; ++i) {
    const size_t at = keys.size() * i / parts;
    if (at == 0 || at >= keys.size()) continue;
    if (cuts.empty() || keys[at] > cuts.back()) cuts.push_back(keys[at]);
  }
  return cuts;
}

absl::StatusOr<std::optional<std::string>> Bucket::get(std::string_view key) const {
  Cursor cursor(*this);
  if (absl::Status s = cursor.seek(key); !s.ok()) return s;
  std::optional<std::string> value;
  if (cursor.valid() && cursor.key() == key && !cursor.is_bucket()) value.emplace(cursor.value());
  return value;
}

absl::Status Cursor::fail(absl::Status status) {
  valid_ = false;
  stack_.clear();
  return status;
}

absl::Status Cursor::push_root() {
  stack_.clear();
  std::shared_ptr<const Node> root = bucket_.inline_node_;
  if (!root) {
    absl::StatusOr<std::shared_ptr<const Node>> loaded = bucket_.file_->pages().load(bucket_.root_);
    if (!loaded.ok()) return loaded.status();
    root = std::move(*loaded);
  }
  if (!root->leaf() && root->count() == 0)
    return damaged(root->page(), "a branch without children");
  stack_.push_back({std::move(root)});
  return absl::OkStatus();
}

absl::Status Cursor::descend(std::string_view key) {
  while (true) {
    Level& top = stack_.back();
    top.at = top.node->lower_bound(key);
    if (top.node->leaf()) return absl::OkStatus();
    // A branch's key is the least that its child may hold.
    const bool exact = top.at < top.node->count() && top.node->key(top.at) == key;
    if (!exact && top.at > 0) --top.at;
    if (absl::Status s = push_child(); !s.ok()) return s;
  }
}

absl::Status Cursor::push_child() {
  const Level& parent = stack_.back();
  const PageId page = parent.node->child(parent.at);
  if (stack_.size() == kDeepestTree) return damaged(page, "lies too deep");
  absl::StatusOr<std::shared_ptr<const Node>> loaded = bucket_.file_->pages().load(page);
  if (!loaded.ok()) return loaded.status();
  Level child{std::move(*loaded)};
  child.bound =
      parent.at + 1 < parent.node->count() ? parent.node->key(parent.at + 1) : parent.bound;
  const Node& node = *child.node;
  if (node.count() == 0 && !node.leaf()) return damaged(page, "a branch without children");
  if (node.count() > 0) {
    const bool above = node.key(0) >= parent.node->key(parent.at);
    const bool below = !child.bound || node.key(node.count() - 1) < *child.bound;
    if (!above || !below) {
      return damaged(page,
                     cat("its keys are not those that page ", parent.node->page().value, " says"));
    }
  }
  stack_.push_back(std::move(child));
  return absl::OkStatus();
}

absl::Status Cursor::settle() {
  while (stack_.back().at == stack_.back().node->count()) {
    do {
      stack_.pop_back();
      if (stack_.empty()) {
        valid_ = false;
        return absl::OkStatus();
      }
    } while (++stack_.back().at == stack_.back().node->count());
    if (absl::Status s = push_child(); !s.ok()) return s;
    if (stack_.back().node->leaf()) continue;
    bucket_.file_->pages().expect(*stack_.back().node);
    if (absl::Status s = descend({}); !s.ok()) return s;
  }
  valid_ = true;
  return absl::OkStatus();
}

absl::Status Cursor::settle_last() {
  stack_.back().at = stack_.back().node->count();
  while (true) {
    // An empty leaf is stepped back over.
    while (stack_.back().at == 0) {
      stack_.pop_back();
      if (stack_.empty()) {
        valid_ = false;
        return absl::OkStatus();
      }
    }
    --stack_.back().at;
    if (stack_.back().node->leaf()) {
      valid_ = true;
      return absl::OkStatus();
    }
    if (absl::Status s = push_child(); !s.ok()) return s;
    stack_.back().at = stack_.back().node->count();
  }
}

absl::Status Cursor::seek(std::string_view key) {
  absl::Status s = push_root();
  if (s.ok()) s = descend(key);
  if (s.ok()) s = settle();
  return s.ok() ? s : fail(std::move(s));
}

absl::Status Cursor::seek_last() {
  absl::Status s = push_root();
  if (s.ok()) s = settle_last();
  return s.ok() ? s : fail(std::move(s));
}

absl::Status Cursor::next() {
  CHECK(valid_);
  ++stack_.back().at;
  absl::Status s = settle();
  return s.ok() ? s : fail(std::move(s));
}

absl::StatusOr<Bucket> Cursor::bucket() const {
  CHECK(valid_);
  return bucket_.file_->bucket_of(*stack_.back().node, stack_.back().at, bucket_.depth_);
}

}  // namespace keelson::boltfile
