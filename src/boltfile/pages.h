// boltfile/pages.h
//
// Pages reads the branches and leaves of one database, checks them, and keeps the last few in
// memory. What follows page by page is read ahead in larger pieces; where pages lie here and there,
// as in a database that has been used for long, the disk is told of many at a time.
//
// Place: owned by a File. Threads: one caller at a time.
// Memory: the cache, one read-ahead window, and the nodes that callers hold.
// Errors: DataLoss naming the page; ResourceExhausted for a node above the limit; those of the
// source.

#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "boltfile/format.h"
#include "boltfile/node.h"
#include "boltfile/source.h"

namespace keelson::boltfile {

class Pages {
 public:
  struct Limits {
    size_t cache_bytes = 8 << 20;
    // A branch or leaf of more bytes is not loaded: a damaged size must not take all memory. A leaf
    // holds few values when they are large.
    uint64_t largest_node = uint64_t{1} << 30;
  };

  // REQUIRES: `meta` is the source's, and high_water pages lie inside it.
  Pages(const Source* source, const Meta& meta, Limits limits)
      : source_(source), meta_(meta), limits_(limits) {}

  absl::StatusOr<std::shared_ptr<const Node>> load(PageId page);
  // A hint: the children of `branch` are loaded next, all of them.
  void expect(const Node& branch) const;
  // The head of page `page`, which says that it is that page and that its overflow ends in time.
  absl::StatusOr<PageHead> head(PageId page);
  // `size` bytes at `offset` of the run of pages that starts at `page`.
  absl::Status read(PageId page, uint64_t offset, size_t size, std::string* out);

 private:
  struct Cached {
    PageId page;
    std::shared_ptr<const Node> node;
  };

  absl::StatusOr<std::string> read_node(PageId page);
  // Makes `bytes` the first `size` of the run.
  absl::Status extend(PageId page, uint64_t size, std::string* bytes);
  absl::Status read_at(uint64_t offset, char* out, size_t size);
  void remember(PageId page, std::shared_ptr<const Node> node);
  absl::Status check_head(PageId page, const PageHead& head) const;
  uint64_t begin(PageId page) const { return page.value * meta_.page_size; }

  const Source* const source_;
  const Meta meta_;
  const Limits limits_;

  // Newest first; places_ points into it. cached_bytes_ <= limits_.cache_bytes after each load.
  std::list<Cached> cached_;
  absl::flat_hash_map<PageId, std::list<Cached>::iterator> places_;
  size_t cached_bytes_ = 0;

  // Where the node read last ends: who goes on there reads one after the other.
  uint64_t next_ = 0;
  size_t ahead_ = 0;  // read together from the present node on; 0: what is asked for
  std::string window_;
  uint64_t window_at_ = 0;
};

}  // namespace keelson::boltfile
