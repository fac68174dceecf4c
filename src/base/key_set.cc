#include "base/key_set.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace keelson {

void KeySet::add(const KeyRange& range) {
  if (range.single()) {
    single_.insert(range.begin);
  } else if (range.open_ended()) {
    from_ = from_ ? std::min(*from_, range.begin) : range.begin;
  } else if (range.begin < range.end) {
    add_bounded(range.begin, range.end);
  }
}

void KeySet::add_bounded(std::string_view begin, std::string_view end) {
  auto it = bounded_.upper_bound(begin);
  if (it != bounded_.begin() && std::prev(it)->second >= begin) --it;
  while (it != bounded_.end() && it->first <= end) {
    begin = std::min(begin, it->first);
    end = std::max(end, it->second);
    it = bounded_.erase(it);
  }
  bounded_.emplace_hint(it, begin, end);
}

bool KeySet::contains(std::string_view key) const {
  if (from_ && key >= *from_) return true;
  if (single_.contains(key)) return true;
  auto after = bounded_.upper_bound(key);
  return after != bounded_.begin() && key < std::prev(after)->second;
}

bool KeySet::contains_any(const std::set<std::string_view>& keys) const {
  if (keys.empty()) return false;
  if (from_ && *keys.rbegin() >= *from_) return true;
  if (keys.size() <= size()) {
    return std::any_of(keys.begin(), keys.end(),
                       [this](std::string_view key) { return contains(key); });
  }
  for (std::string_view key : single_) {
    if (keys.contains(key)) return true;
  }
  for (const auto& [begin, end] : bounded_) {
    auto first = keys.lower_bound(begin);
    if (first != keys.end() && *first < end) return true;
  }
  return false;
}

void KeySet::merge(KeySet&& other) {
  if (other.size() > size()) std::swap(*this, other);
  single_.merge(other.single_);
  for (const auto& [begin, end] : other.bounded_) add_bounded(begin, end);
  if (other.from_) from_ = from_ ? std::min(*from_, *other.from_) : *other.from_;
}

}  // namespace keelson
