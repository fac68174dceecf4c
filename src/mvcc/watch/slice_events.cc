#include "mvcc/watch/slice_events.h"

#include <algorithm>

#include "base/check.h"
#include "base/endian.h"

namespace keelson::watch {

namespace {

// So many ranges are looked for without an order.
constexpr int kScans = 4;

uint64_t prefix_of(std::string_view key, size_t from) {
  char bytes[8] = {};
  key.substr(from).copy(bytes, sizeof bytes);
  return load_big64(bytes);
}

size_t shared_bytes(std::string_view a, std::string_view b, size_t most) {
  const size_t end = std::min({most, a.size(), b.size()});
  size_t n = 0;
  while (n < end && a[n] == b[n]) ++n;
  return n;
}

}  // namespace

SliceEvents::SliceEvents(const Slice& slice) {
  size_t count = 0;
  for (std::span<const mvcc::Event> run : slice.runs) count += run.size();
  CHECK(count < UINT32_MAX);
  events_.reserve(count);
  for (std::span<const mvcc::Event> run : slice.runs) {
    for (const mvcc::Event& event : run) events_.push_back(&event);
  }
}

std::span<const mvcc::Event* const> SliceEvents::find(const WatchedKeys& range, int64_t from) {
  auto later = [from](const mvcc::Event* event) { return event->revision.main < from; };
  auto begin = std::partition_point(events_.begin(), events_.end(), later);
  found_.clear();
  if (scans_ < kScans) {
    ++scans_;
    std::copy_if(begin, events_.end(), std::back_inserter(found_),
                 [&](const mvcc::Event* event) { return range.contains(event->key); });
    return found_;
  }
  if (by_key_.empty()) sort();
  const auto first = static_cast<size_t>(begin - events_.begin());
  for (auto it = first_not_below(range.begin); it != by_key_.end(); ++it) {
    if (!range.ends_after(events_[it->event]->key)) break;
    if (it->event >= first) found_.push_back(events_[it->event]);
  }
  // Those of one key are in order already.
  if (range.kind != WatchedKeys::Kind::kOne) {
    std::sort(found_.begin(), found_.end(),
              [](const mvcc::Event* a, const mvcc::Event* b) { return a->revision < b->revision; });
  }
  return found_;
}

void SliceEvents::sort() {
  if (events_.empty()) return;
  const std::string_view some = events_.front()->key;
  shared_ = some.size();
  for (const mvcc::Event* event : events_) shared_ = shared_bytes(some, event->key, shared_);
  by_key_.reserve(events_.size());
  for (uint32_t i = 0; i < events_.size(); ++i) {
    by_key_.push_back({prefix_of(events_[i]->key, shared_), i});
  }
  std::sort(by_key_.begin(), by_key_.end(), [this](const ByKey& a, const ByKey& b) {
    if (a.prefix != b.prefix) return a.prefix < b.prefix;
    int order = events_[a.event]->key.compare(events_[b.event]->key);
    return order != 0 ? order < 0 : a.event < b.event;
  });
}

std::vector<SliceEvents::ByKey>::const_iterator SliceEvents::first_not_below(
    std::string_view key) const {
  return std::partition_point(by_key_.begin(), by_key_.end(),
                              [&](const ByKey& one) { return events_[one.event]->key < key; });
}

}  // namespace keelson::watch
