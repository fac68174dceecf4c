#include "auth/key_ranges.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace keelson::auth {
namespace {

constexpr std::string_view kOpenEnd("\0", 1);

// Of a range as requests and permissions write it.
std::string_view end_of(std::string_view range_end) {
  return range_end == kOpenEnd ? std::string_view() : range_end;
}

// The empty end is behind everything; the empty key is before everything.
bool is_before(std::string_view key, std::string_view end) { return end.empty() || key < end; }
bool ends_before(std::string_view end, std::string_view other) {
  return !end.empty() && is_before(end, other);
}
// The empty key, which no request has, is behind everything here, as in etcd.
bool is_inverted(std::string_view key, std::string_view end) {
  return key.empty() || !is_before(key, end);
}
bool reaches(std::string_view end, std::string_view key) { return end.empty() || key <= end; }

}  // namespace

void KeyRanges::add(std::string_view key, std::string_view range_end) {
  Range range{std::string(key), std::string(end_of(range_end))};
  if (range_end.empty()) range.end = range.begin + '\0';
  inverted_ |= is_inverted(range.begin, range.end);
  tree_.add(range.begin, range.end);
  ranges_.push_back(std::move(range));
}

void KeyRanges::merge() {
  tree_.finish();
  std::sort(ranges_.begin(), ranges_.end(),
            [](const Range& a, const Range& b) { return a.begin < b.begin; });
  std::vector<Range> merged;
  for (Range& range : ranges_) {
    if (!merged.empty() && reaches(merged.back().end, range.begin)) {
      if (ends_before(merged.back().end, range.end)) merged.back().end = std::move(range.end);
    } else {
      merged.push_back(std::move(range));
    }
  }
  ranges_ = std::move(merged);
  for (size_t i = 1; i < ranges_.size(); ++i) {
    CHECK(!reaches(ranges_[i - 1].end, ranges_[i].begin));
  }
}

bool KeyRanges::covers(std::string_view key, std::string_view range_end) const {
  const std::string_view end = end_of(range_end);
  if (inverted_ && range_end.empty()) {
    const std::string after = std::string(key) + '\0';
    return tree_.intersects({key, after});
  }
  if (!range_end.empty() && (inverted_ || is_inverted(key, end))) return tree_.contains({key, end});
  auto behind =
      std::upper_bound(ranges_.begin(), ranges_.end(), key,
                       [](std::string_view at, const Range& range) { return at < range.begin; });
  if (behind == ranges_.begin()) return false;
  const Range& range = *std::prev(behind);
  if (!is_before(key, range.end)) return false;
  return range_end.empty() || !ends_before(range.end, end);
}

}  // namespace keelson::auth
