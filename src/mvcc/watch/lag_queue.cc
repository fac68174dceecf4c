#include "mvcc/watch/lag_queue.h"

#include "base/check.h"

namespace keelson::watch {

void LagQueue::insert(Watcher& watcher) {
  CHECK(watcher.ahead == nullptr);
  CHECK(watcher.behind == nullptr);
  Line& line = lines_[watcher.cursor];
  watcher.ahead = line.last;
  (line.last != nullptr ? line.last->behind : line.first) = &watcher;
  line.last = &watcher;
}

void LagQueue::erase(Watcher& watcher) {
  auto it = lines_.find(watcher.cursor);
  CHECK(it != lines_.end());
  Line& line = it->second;
  Watcher* ahead = std::exchange(watcher.ahead, nullptr);
  Watcher* behind = std::exchange(watcher.behind, nullptr);
  if (ahead == nullptr) CHECK(line.first == &watcher);
  if (behind == nullptr) CHECK(line.last == &watcher);
  (ahead != nullptr ? ahead->behind : line.first) = behind;
  (behind != nullptr ? behind->ahead : line.last) = ahead;
  if (line.first == nullptr) lines_.erase(it);
}

Watcher* LagQueue::first_in(int64_t from, int64_t through) const {
  auto it = lines_.lower_bound(from);
  return it == lines_.end() || it->first > through ? nullptr : it->second.first;
}

int64_t LagQueue::next() const {
  CHECK(!empty());
  auto it = lines_.lower_bound(passed_);
  return it == lines_.end() ? lines_.begin()->first : it->first;
}

void LagQueue::check_invariants() const {
  for (const auto& [cursor, line] : lines_) {
    CHECK(line.first != nullptr);
    const Watcher* ahead = nullptr;
    for (const Watcher* watcher = line.first; watcher != nullptr; watcher = watcher->behind) {
      CHECK(watcher->cursor == cursor);
      CHECK(watcher->ahead == ahead);
      ahead = watcher;
    }
    CHECK(line.last == ahead);
  }
}

void StreamOrder::move(StreamState& stream, uint64_t serial, int64_t* cursor, int64_t to) {
  if (*cursor == to) return;
  if (*cursor != 0) CHECK(streams_.erase({*cursor, serial}) == 1);
  if (to != 0) CHECK(streams_.insert({{to, serial}, &stream}).second);
  *cursor = to;
}

StreamState* StreamOrder::next(Place place) const {
  auto it = streams_.lower_bound(place);
  return it == streams_.end() ? first() : it->second;
}

StreamState* StreamOrder::next_in(int64_t from, int64_t through, Place place) const {
  auto it = streams_.lower_bound(std::max(place, Place(from, 0)));
  if (it == streams_.end() || it->first.first > through) it = streams_.lower_bound(Place(from, 0));
  return it == streams_.end() || it->first.first > through ? nullptr : it->second;
}

}  // namespace keelson::watch
