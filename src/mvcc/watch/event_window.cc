#include "mvcc/watch/event_window.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace keelson::watch {

namespace {

// What a batch costs besides its bytes.
constexpr size_t kEventOverhead = sizeof(mvcc::Event);

size_t cost(const mvcc::EventBatch& batch) {
  return batch.bytes + batch.events.size() * kEventOverhead;
}

}  // namespace

void Slice::add(mvcc::EventBatchPtr batch) {
  CHECK(batch->first_revision == through + 1);
  through = batch->last_revision;
  bytes += batch->bytes;
  runs.emplace_back(batch->events);
  batches.push_back(std::move(batch));
}

void EventWindow::add(mvcc::EventBatchPtr batch) {
  if (!empty()) CHECK(batch->first_revision == last_revision() + 1);
  bytes_ += cost(*batch);
  batches_.push_back(std::move(batch));
  while (batches_.size() > 1 && (bytes_ > max_bytes_ || batches_.size() > max_batches_)) {
    bytes_ -= cost(*batches_.front());
    batches_.pop_front();
  }
}

void EventWindow::clear() {
  batches_.clear();
  bytes_ = 0;
}

Slice EventWindow::slice(int64_t revision, size_t max_bytes) const {
  CHECK(covers(revision));
  auto at = std::partition_point(
      batches_.begin(), batches_.end(),
      [&](const mvcc::EventBatchPtr& batch) { return batch->last_revision < revision; });
  Slice slice;
  slice.through = (*at)->first_revision - 1;
  slice.add(*at);
  // The first batch may begin before what is asked for.
  std::span<const mvcc::Event>& first = slice.runs.front();
  auto skip = std::partition_point(first.begin(), first.end(), [&](const mvcc::Event& event) {
    return event.revision.main < revision;
  });
  first = first.subspan(static_cast<size_t>(skip - first.begin()));
  slice.from = revision;
  while (++at != batches_.end() && slice.bytes < max_bytes) slice.add(*at);
  return slice;
}

}  // namespace keelson::watch
