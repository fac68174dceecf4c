#include "node/hash_queue.h"

#include <utility>

#include "base/check.h"
#include "base/failpoint.h"

namespace keelson::node {

bool HashQueue::add(std::unique_ptr<Work> work) {
  size_t admitted = admitted_.load(std::memory_order_relaxed);
  do {
    if (admitted > kMostWaiting) return false;
  } while (!admitted_.compare_exchange_weak(admitted, admitted + 1, std::memory_order_relaxed));
  lane_.post([this, work = std::move(work)]() mutable {
    waiting_.push_back(std::move(work));
    CHECK(waiting_.size() <= kMostWaiting + 1);
    if (!running_) begin_next();
  });
  return true;
}

void HashQueue::sweep() {
  lane_.post([this] {
    for (std::unique_ptr<Work>& work : waiting_) {
      if (!work->wanted()) leave(std::move(work));
    }
    std::erase(waiting_, nullptr);
    CHECK(waiting_.size() <= admitted_.load(std::memory_order_relaxed));
  });
}

void HashQueue::begin_next() {
  CHECK(!running_);
  CHECK(waiting_.size() <= admitted_.load(std::memory_order_relaxed));
  if (waiting_.empty()) return;
  std::unique_ptr<Work> work = std::move(waiting_.front());
  waiting_.pop_front();
  running_ = true;
  step(std::move(work));
}

void HashQueue::step(std::unique_ptr<Work> work) {
  CHECK(running_);
  CHECK(work != nullptr);
  const MonotonicTime start = clock_.now();
  KEELSON_FAILPOINT("node_hash_slice");
  const bool over = !work->wanted() || work->step();
  const Duration rest = clock_.now() - start;
  if (!over) {
    lane_.post_after(rest, [this, work = std::move(work)]() mutable { step(std::move(work)); });
    return;
  }
  leave(std::move(work));
  // The next one rests for the last slice of this.
  lane_.post_after(rest, [this] {
    CHECK(running_);
    running_ = false;
    begin_next();
  });
}

void HashQueue::leave(std::unique_ptr<Work> work) {
  work.reset();
  const size_t before = admitted_.fetch_sub(1, std::memory_order_relaxed);
  CHECK(before > 0);
  CHECK(before <= kMostWaiting + 1);
}

}  // namespace keelson::node
