// base/key_set.h
//
// KeySet is the keys that any of a number of ranges covers, single keys among them; asking costs
// the logarithm of their number, however many a request names.
//
// Threads: a plain value. Lifetime: views into the request, as in KeyRange.

#pragma once

#include <map>
#include <optional>
#include <set>
#include <string_view>

#include "base/key_range.h"

namespace keelson {

class KeySet {
 public:
  // A range that holds no key changes nothing.
  void add(const KeyRange& range);
  bool contains(std::string_view key) const;
  // Whether it covers any of `keys`; costs what the smaller of the two has.
  bool contains_any(const std::set<std::string_view>& keys) const;
  // Takes what the other has; costs what the smaller of the two has.
  void merge(KeySet&& other);

 private:
  size_t size() const { return single_.size() + bounded_.size() + (from_ ? 1 : 0); }
  void add_bounded(std::string_view begin, std::string_view end);

  std::set<std::string_view> single_;
  // Begin to end, begin < end; each ends before the next begins.
  std::map<std::string_view, std::string_view> bounded_;
  std::optional<std::string_view> from_;  // everything from here on
};

}  // namespace keelson
