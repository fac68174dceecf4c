// node/as_of.h
//
// AsOf keeps what a replicated thing was from which index on, as far back as somebody may still
// ask.
//
// Threads: one caller at a time. Memory: the values noted since the index that is not forgotten.

#pragma once

#include <algorithm>
#include <deque>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "base/ids.h"

namespace keelson::node {

template <typename T>
class AsOf {
 public:
  AsOf() = default;
  AsOf(Index from, T value) { start_over(from, std::move(value)); }

  // From entry `from` on it is this. REQUIRES: nothing of a later one was noted.
  void note(Index from, T value) {
    CHECK(values_.empty() || values_.back().first <= from);
    values_.emplace_back(from, std::move(value));
  }
  // What was noted before does not count any more.
  void start_over(Index from, T value) {
    values_.clear();
    values_.emplace_back(from, std::move(value));
  }
  // What it was once `index` was applied; null: from before what is known.
  const T* at(Index index) const {
    const auto after =
        std::upper_bound(values_.begin(), values_.end(), index,
                         [](Index at, const auto& value) { return at < value.first; });
    return after == values_.begin() ? nullptr : &std::prev(after)->second;
  }
  const T& newest() const {
    CHECK(!values_.empty());
    return values_.back().second;
  }
  bool empty() const { return values_.empty(); }

  // Nobody asks for what it was before `index`.
  void forget_before(Index index) {
    while (values_.size() > 1 && values_[1].first <= index) values_.pop_front();
  }

 private:
  std::deque<std::pair<Index, T>> values_;  // indexes only rise
};

}  // namespace keelson::node
