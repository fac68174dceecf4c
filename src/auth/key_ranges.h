// auth/key_ranges.h
//
// KeyRanges is a set of keys as permissions give it: single keys, ranges, everything from a key on;
// merged, so that one look tells whether a request's keys are all among them. Two grants that meet
// cover a request across both.
//
// Source: etcd v3.7.1, server/auth/range_perm_cache.go (a range end of one zero byte is open, an
//   empty one means the key alone). For what has no right answer, a range that ends before it
//   begins, auth/grant_tree.h.
// Threads: a value; read from any thread once built.

#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "auth/grant_tree.h"

namespace keelson::auth {

class KeyRanges {
 public:
  explicit KeyRanges(GrantOrder order) : tree_(order) {}

  // Adds what a permission names; not seen before merge().
  void add(std::string_view key, std::string_view range_end);
  void merge();

  // Whether all keys that a request with `key` and `range_end` may touch are in the set.
  bool covers(std::string_view key, std::string_view range_end) const;

 private:
  struct Range {
    std::string begin;
    std::string end;  // the first key behind it; empty: there is none
  };

  GrantTree tree_;
  bool inverted_ = false;  // one of the grants is; etcd before v3.5.8 took such
  // After merge(): by begin, and each begins behind the end of the one before.
  std::vector<Range> ranges_;
};

}  // namespace keelson::auth
