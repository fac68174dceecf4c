// boltfile/file.h
//
// File is a bbolt database that is read: its buckets, in order or by key, however large it is. It
// looks at the pages on the way to what is asked, and each of them is checked (boltfile/node.h): a
// child's keys must lie where its parent says, so no walk goes in circles or back. What is damaged
// is refused where it is met; verify() (boltfile/verify.h) looks at everything.
//
//   absl::StatusOr<std::unique_ptr<File>> file = File::open("db");
//   absl::StatusOr<Bucket> bucket = (*file)->root().bucket("key");
//   Cursor cursor(*bucket);
//   for (s = cursor.seek_first(); s.ok() && cursor.valid(); s = cursor.next()) use(cursor.key());
//
// Threads: one caller at a time for a File with its buckets and cursors. Several Files may stand on
//   one path. A database that somebody writes to meanwhile is not consistent; etcd locks its own.
// Lifetime: Buckets and Cursors point to their File.
// Errors: DataLoss with the page's number, those of boltfile/source.h and boltfile/pages.h.
// Format: docs/formats/bolt.md.

#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "boltfile/format.h"
#include "boltfile/node.h"
#include "boltfile/pages.h"
#include "boltfile/source.h"

namespace keelson::boltfile {

class File;

// A value; names a bucket.
class Bucket {
 public:
  // The bucket inside this one. NotFound when there is none, FailedPrecondition when the name is a
  // key's.
  absl::StatusOr<Bucket> bucket(std::string_view name) const;
  // The names of the buckets inside this one.
  absl::StatusOr<std::vector<std::string>> bucket_names() const;
  // Keys, ascending, that cut the bucket into at most `parts` stretches of about as many pages
  // each, as far as the pages above its leaves tell. Looks at a few pages for each of them.
  absl::StatusOr<std::vector<std::string>> cuts(size_t parts) const;
  // The value of a key; nothing when there is no such key, or it is a bucket.
  absl::StatusOr<std::optional<std::string>> get(std::string_view key) const;

  uint64_t sequence() const { return sequence_; }
  // 0 for one that lies inline in its parent's page.
  PageId root() const { return root_; }
  // REQUIRES: root() is 0.
  const Node& inline_node() const { return *inline_node_; }
  // How many buckets this one lies in.
  size_t depth() const { return depth_; }

 private:
  friend class Cursor;
  friend class File;

  File* file_ = nullptr;
  PageId root_;
  std::shared_ptr<const Node> inline_node_;  // there if, and only if, root_ is 0
  uint64_t sequence_ = 0;
  size_t depth_ = 0;
};

// Walks a bucket's elements in the order of their keys.
class Cursor {
 public:
  explicit Cursor(Bucket bucket) : bucket_(std::move(bucket)) {}

  // After any of them: valid() tells whether there is an element. An error leaves it invalid.
  absl::Status seek_first() { return seek({}); }
  // To the first key that is not below `key`.
  absl::Status seek(std::string_view key);
  // To the last element.
  absl::Status seek_last();
  // REQUIRES: valid().
  absl::Status next();
  bool valid() const { return valid_; }

  // The next four REQUIRE valid(). The views live until the cursor moves.
  std::string_view key() const { return stack_.back().node->key(stack_.back().at); }
  // Of a bucket: its head, and its page when it is inline.
  std::string_view value() const { return stack_.back().node->value(stack_.back().at); }
  bool is_bucket() const { return stack_.back().node->is_bucket(stack_.back().at); }
  // REQUIRES: is_bucket().
  absl::StatusOr<Bucket> bucket() const;

 private:
  struct Level {
    std::shared_ptr<const Node> node;
    size_t at = 0;
    // No key of the node is this or above; it points into a node further up.
    std::optional<std::string_view> bound = {};
  };

  absl::Status push_root();
  // Loads children down to a leaf, to where `key` would be.
  absl::Status descend(std::string_view key);
  absl::Status push_child();
  // From a leaf's end to the next element there is.
  absl::Status settle();
  // To the last element at or before where the levels stand.
  absl::Status settle_last();
  absl::Status fail(absl::Status status);

  Bucket bucket_;
  std::vector<Level> stack_;  // from the root to a leaf; at most kDeepestTree
  bool valid_ = false;
};

class File {
 public:
  static absl::StatusOr<std::unique_ptr<File>> open(std::unique_ptr<Source> source,
                                                    Pages::Limits limits = {});
  static absl::StatusOr<std::unique_ptr<File>> open(const std::string& path,
                                                    Pages::Limits limits = {});

  // The valid meta page of the newest transaction.
  const Meta& meta() const { return meta_; }
  const Source& source() const { return *source_; }
  // Bytes of the pages below the high-water mark; the source may be longer.
  uint64_t size() const { return meta_.high_water.value * meta_.page_size; }

  // The bucket that holds the named buckets.
  Bucket root();
  Pages& pages() { return pages_; }

  // The bucket in a leaf's element of a bucket that lies in `depth` others.
  absl::StatusOr<Bucket> bucket_of(const Node& node, size_t element, size_t depth);

 private:
  File(std::unique_ptr<Source> source, const Meta& meta, Pages::Limits limits)
      : source_(std::move(source)), meta_(meta), pages_(source_.get(), meta_, limits) {}

  const std::unique_ptr<Source> source_;
  const Meta meta_;
  Pages pages_;
};

}  // namespace keelson::boltfile
