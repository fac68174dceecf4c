// boltfile/planner.h
//
// Planner finds out how large a database becomes, and where its root lies, from the sizes of what
// goes in. That is what makes a database a stream: its first two pages name the root and the number
// of pages, and who receives it wants to know its size, all before the first byte. The shape
// follows from the sizes of keys and values alone (boltfile/tree_builder.h), so one walk over
// sizes, which a store knows without reading its values, plans what a second walk over the same
// state writes.
//
// The alternatives: a root at a fixed early place cannot name the buckets' roots, which are not
// known then either; two passes over the bytes read everything twice; a temporary file costs the
// whole database in disk space and delays the first byte until the last is there.
//
// Threads: one caller at a time. Memory: one page's sizes for each level of each open bucket.
// Errors: InvalidArgument for what no bbolt database can hold.

#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "boltfile/format.h"

namespace keelson::boltfile {

struct Layout {
  uint32_t page_size = 4096;  // a power of two, 4 to 64 KB
  // Writes a list of free pages, an empty one. Without it etcd reads the whole file when it opens
  // it, to see which pages are free.
  bool freelist = true;
};

struct Plan {
  Layout layout;
  PageId root;
  PageId high_water;

  uint64_t bytes() const { return high_water.value * layout.page_size; }
  friend bool operator==(const Plan& a, const Plan& b) {
    return a.root == b.root && a.high_water == b.high_water;
  }
};

class Planner {
 public:
  // REQUIRES: valid_layout(layout).
  explicit Planner(const Layout& layout);
  ~Planner();

  // In the order in which a Writer is then given names, keys and values.
  absl::Status begin_bucket(uint64_t name_size);
  absl::Status add(uint64_t key_size, uint64_t value_size);
  absl::Status end_bucket();
  // Called once, when every bucket has ended.
  absl::StatusOr<Plan> finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

bool valid_layout(const Layout& layout);

// What both Planner and Writer refuse.
absl::Status check_element(uint64_t key_size, uint64_t value_size);

// Where what is written begins: behind the meta pages and the list of free pages.
PageId first_page(const Layout& layout);

}  // namespace keelson::boltfile
