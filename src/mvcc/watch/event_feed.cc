#include "mvcc/watch/event_feed.h"

#include <bit>
#include <utility>

#include "base/check.h"

namespace keelson::watch {

EventFeed::EventFeed(int64_t revision, FeedOptions options)
    : options_(options), revision_(revision) {}

EventFeed::~EventFeed() {
  for (auto& inbox : inboxes_) inbox->close();
}

std::shared_ptr<FeedInbox> EventFeed::subscribe(Executor& lane, Task on_wake) {
  auto inbox = std::make_shared<FeedInbox>(lane, std::move(on_wake), options_);
  inboxes_.push_back(inbox);
  return inbox;
}

void EventFeed::publish(mvcc::EventBatchPtr batch) {
  CHECK(!batch->events.empty());
  CHECK(batch->first_revision == revision() + 1);
  CHECK(batch->last_revision >= batch->first_revision);
  std::erase_if(inboxes_, [](const auto& inbox) { return inbox->closed(); });
  for (auto& inbox : inboxes_) inbox->push(batch);
  announce(batch->last_revision);
}

void EventFeed::reset(int64_t revision) {
  CHECK(revision >= this->revision());
  announce(revision);
}

// The rings first, then the revision, then the wake-ups: whoever sees the revision finds the batch
// in its ring or has missed it.
void EventFeed::announce(int64_t revision) {
  revision_.store(revision, std::memory_order_seq_cst);
  for (auto& inbox : inboxes_) inbox->wake();
}

FeedInbox::FeedInbox(Executor& lane, Task on_wake, const FeedOptions& options)
    : lane_(lane),
      on_wake_(std::move(on_wake)),
      max_bytes_(options.inbox_bytes),
      mask_(std::bit_ceil(options.inbox_batches) - 1),
      ring_(mask_ + 1) {}

void FeedInbox::push(const mvcc::EventBatchPtr& batch) {
  uint64_t pushed = pushed_.load(std::memory_order_relaxed);
  uint64_t waiting = pushed - popped_.load(std::memory_order_acquire);
  uint64_t bytes = bytes_pushed_ - bytes_popped_.load(std::memory_order_relaxed);
  if (waiting == ring_.size()) return;
  if (waiting > 0 && bytes + batch->bytes > max_bytes_) return;
  ring_[pushed & mask_] = batch;
  bytes_pushed_ += batch->bytes;
  pushed_.store(pushed + 1, std::memory_order_release);
}

mvcc::EventBatchPtr FeedInbox::pop() {
  uint64_t popped = popped_.load(std::memory_order_relaxed);
  if (popped == pushed_.load(std::memory_order_acquire)) return nullptr;
  mvcc::EventBatchPtr batch = std::move(ring_[popped & mask_]);
  bytes_popped_.store(bytes_popped_.load(std::memory_order_relaxed) + batch->bytes,
                      std::memory_order_relaxed);
  popped_.store(popped + 1, std::memory_order_release);
  return batch;
}

void FeedInbox::set_interested(bool interested) {
  interested_.store(interested, std::memory_order_seq_cst);
}

void FeedInbox::close() { closed_.store(true, std::memory_order_release); }

void FeedInbox::wake() {
  if (!interested_.load(std::memory_order_seq_cst)) {
    uint64_t waiting =
        pushed_.load(std::memory_order_relaxed) - popped_.load(std::memory_order_relaxed);
    uint64_t bytes = bytes_pushed_ - bytes_popped_.load(std::memory_order_relaxed);
    if (waiting <= ring_.size() / 2 && bytes <= max_bytes_ / 2) return;
  }
  if (woken_.exchange(true, std::memory_order_seq_cst)) return;
  lane_.post([self = shared_from_this()] {
    // Before looking: what is published from here on posts anew.
    self->woken_.store(false, std::memory_order_seq_cst);
    if (!self->closed()) self->on_wake_();
  });
}

}  // namespace keelson::watch
