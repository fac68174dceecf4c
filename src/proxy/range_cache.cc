#include "proxy/range_cache.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/check.h"

namespace keelson::proxy {
namespace {

constexpr std::string_view kAll("\0", 1);

// Whether `key` comes before the end of `keys`.
bool before_end(std::string_view key, const KeySpan& keys) {
  if (keys.is_one()) return key == keys.begin;
  return keys.end == kAll || key < keys.end;
}

}  // namespace

bool KeySpan::contains(std::string_view key) const {
  return key >= begin && before_end(key, *this);
}

bool KeySpan::overlaps(const KeySpan& other) const {
  return begin < other.begin ? before_end(other.begin, *this) : before_end(begin, other);
}

const Parts* RangeCache::find(const std::string& request) {
  const auto found = by_request_.find(request);
  if (found == by_request_.end()) return nullptr;
  order_.splice(order_.begin(), order_, found->second);
  return &order_.front().answer;
}

bool RangeCache::out_of_date(const KeySpan& keys, int64_t revision) const {
  if (revision < forgotten_) return true;
  return std::any_of(writes_.begin(), writes_.end(), [&](const Write& write) {
    return write.revision > revision && write.keys.overlaps(keys);
  });
}

void RangeCache::add(const std::string& request, const KeySpan& keys, int64_t at, int64_t revision,
                     Parts answer) {
  if (compacted(at) || (at == 0 && out_of_date(keys, revision))) return;
  if (const auto known = by_request_.find(request); known != by_request_.end()) {
    remove(known->second);
  }
  Entry entry{.request = request, .keys = keys, .at = at, .answer = std::move(answer)};
  if (entry.size() > limits_.one) return;
  bytes_ += entry.size();
  order_.push_front(std::move(entry));
  const Place place = order_.begin();
  by_request_.emplace(place->request, place);
  if (at == 0 && keys.is_one()) ones_.emplace(place->keys.begin, place);
  if (at == 0 && !keys.is_one()) ranges_.insert(place);
  while (order_.size() > limits_.entries || bytes_ > limits_.bytes) remove(std::prev(order_.end()));
  CHECK(order_.size() == by_request_.size());
}

void RangeCache::remove(Place place) {
  by_request_.erase(place->request);
  ranges_.erase(place);
  auto [one, last] = ones_.equal_range(place->keys.begin);
  for (; one != last; ++one) {
    if (one->second != place) continue;
    ones_.erase(one);
    break;
  }
  CHECK(bytes_ >= place->size());
  bytes_ -= place->size();
  order_.erase(place);
}

void RangeCache::put_out(const KeySpan& keys, int64_t revision) {
  std::vector<Place> touched;
  for (auto one = ones_.lower_bound(keys.begin); one != ones_.end() && before_end(one->first, keys);
       ++one) {
    touched.push_back(one->second);
  }
  for (const Place& range : ranges_) {
    if (range->keys.overlaps(keys)) touched.push_back(range);
  }
  for (const Place& place : touched) remove(place);
  if (revision == 0) return;
  writes_.push_back({keys, revision});
  if (writes_.size() <= kWrites) return;
  forgotten_ = std::max(forgotten_, writes_.front().revision);
  writes_.pop_front();
}

void RangeCache::compact(int64_t revision) { compacted_ = std::max(compacted_, revision); }

}  // namespace keelson::proxy
