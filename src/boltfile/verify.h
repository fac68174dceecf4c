// boltfile/verify.h
//
// Looks at every page of a database, as `bbolt check` does: whether each page below the high-water
// mark is either in use, once, or free, once; and that all that is in use is whole and in order.
//
// Threads: as the File's. Memory: two bits for each page, and the first problems.

#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "boltfile/file.h"

namespace keelson::boltfile {

struct Verdict {
  struct Problem {
    PageId page;
    std::string text;
  };

  uint64_t pages = 0;   // below the high-water mark
  uint64_t in_use = 0;  // with the meta pages and the list of free pages
  uint64_t free = 0;    // on that list; without one, what nothing refers to
  uint64_t buckets = 0;
  uint64_t elements = 0;  // that are no buckets
  uint64_t problem_count = 0;
  std::vector<Problem> problems;  // the first ones

  bool ok() const { return problem_count == 0; }
  // DataLoss with the first problem, and how many more there are.
  absl::Status status() const;
};

// What the walk comes by, in the order of the file: buckets ahead of what is in them.
struct Element {
  size_t depth = 0;  // buckets that it lies in, besides the root
  bool bucket = false;
  std::string_view key, value;  // while it is told
};

// An error only when the source cannot be read; damage is in the verdict. `tell` hears of what can
// be read, which is all there is if the verdict is ok().
absl::StatusOr<Verdict> verify(File& file, absl::FunctionRef<void(const Element&)> tell);
absl::StatusOr<Verdict> verify(File& file);

}  // namespace keelson::boltfile
