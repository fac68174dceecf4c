// boltfile/format.h
//
// The numbers of bbolt's database files: page heads, meta pages, elements of pages, bucket heads.
// All little-endian. docs/formats/bolt.md tells how they hang together.
// Source: etcd-io/bbolt v1.5.0, internal/common.
//
// Threads: plain values and pure functions.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "base/ids.h"

namespace keelson::boltfile {

// A page's number; its bytes begin at number * page size. 0 and 1 are the meta pages.
using PageId = StrongId<struct BoltPageTag, uint64_t>;
// The file keeps no list of free pages (NoFreelistSync).
constexpr PageId kNoFreelist(UINT64_MAX);

constexpr uint32_t kSmallestPage = 1 << 10;  // of files that are read
constexpr uint32_t kSmallestPageWritten = 4 << 10;
constexpr uint32_t kLargestPage = 64 << 10;

constexpr size_t kPageHead = 16;
constexpr size_t kElementHead = 16;  // in leaves and branches alike
constexpr size_t kBucketHead = 16;   // in front of a bucket's element: root, sequence
constexpr size_t kMetaSize = 64;
constexpr size_t kMostElements = 0xfffe;  // on one page

constexpr uint64_t kLongestKey = 32768;
constexpr uint64_t kLongestValue = (uint64_t{1} << 31) - 2;

// More levels of one tree, and buckets within buckets, than any file has; beyond is damage.
constexpr size_t kDeepestTree = 48;
constexpr size_t kDeepestBucket = 16;

enum PageKind : uint16_t {
  kBranchPage = 0x01,
  kLeafPage = 0x02,
  kMetaPage = 0x04,
  kFreelistPage = 0x10,
};
// Flag of a leaf's element: its value is a bucket.
constexpr uint32_t kBucketElement = 0x01;

struct PageHead {
  PageId id;
  uint16_t kind = 0;
  uint16_t count = 0;
  uint32_t overflow = 0;  // pages that follow and belong to this one
};

// REQUIRES: kPageHead bytes at `in`, `out`.
PageHead load_page_head(const char* in);
void store_page_head(char* out, const PageHead& head);

// What a meta page says.
struct Meta {
  uint32_t page_size = 0;
  PageId root;  // of the bucket that holds the named buckets
  uint64_t sequence = 0;
  PageId freelist;
  PageId high_water;  // no page from here on is in use
  uint64_t transaction = 0;
};

// The meta behind a page's head. Nothing when magic, version or checksum say otherwise.
// REQUIRES: kMetaSize bytes at `in`, `out`.
std::optional<Meta> load_meta(const char* in);
void store_meta(char* out, const Meta& meta);

// REQUIRES: kElementHead bytes at `out`. `offset` counts from the element's own head.
struct LeafElement {
  uint32_t flags = 0;
  uint32_t offset = 0;
  uint32_t key_size = 0;
  uint32_t value_size = 0;
};
void store_leaf_element(char* out, const LeafElement& element);
LeafElement load_leaf_element(const char* in);

struct BranchElement {
  uint32_t offset = 0;
  uint32_t key_size = 0;
  PageId child;
};
void store_branch_element(char* out, const BranchElement& element);
BranchElement load_branch_element(const char* in);

struct BucketHead {
  PageId root;  // 0: the page follows, inline
  uint64_t sequence = 0;
};
BucketHead load_bucket_head(const char* in);
void store_bucket_head(char* out, const BucketHead& head);

// Damage to a page: names it. The file was not changed.
absl::Status damaged(PageId page, std::string_view what);

}  // namespace keelson::boltfile
