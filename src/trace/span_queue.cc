#include "trace/span_queue.h"

#include "base/check.h"

namespace keelson::trace {

SpanQueue::SpanQueue(const Options& options) : options_(options) {
  CHECK(options_.batch_spans > 0);
  CHECK(options_.batch_spans <= options_.spans);
  CHECK(options_.batch_bytes <= options_.bytes);
}

SpanQueue::~SpanQueue() { gather(); }

bool SpanQueue::push(std::unique_ptr<Span> span) {
  const size_t bytes = span->bytes();
  const size_t spans = spans_.fetch_add(1, std::memory_order_relaxed) + 1;
  const size_t total = bytes_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  if (spans > options_.spans || total > options_.bytes) {
    release(bytes);
    dropped_.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  Span* node = span.release();
  node->next_ = newest_.load(std::memory_order_relaxed);
  while (!newest_.compare_exchange_weak(node->next_, node, std::memory_order_release,
                                        std::memory_order_relaxed)) {
  }
  return spans == options_.batch_spans ||
         (total >= options_.batch_bytes && total - bytes < options_.batch_bytes);
}

void SpanQueue::release(size_t bytes) {
  spans_.fetch_sub(1, std::memory_order_relaxed);
  bytes_.fetch_sub(bytes, std::memory_order_relaxed);
}

void SpanQueue::gather() {
  Span* newest = newest_.exchange(nullptr, std::memory_order_acquire);
  Span* oldest = nullptr;
  while (newest) {
    Span* older = newest->next_;
    newest->next_ = oldest;
    oldest = newest;
    newest = older;
  }
  while (oldest) {
    Span* newer = oldest->next_;
    in_order_.emplace_back(oldest);
    oldest = newer;
  }
}

std::vector<std::unique_ptr<Span>> SpanQueue::take() {
  gather();
  std::vector<std::unique_ptr<Span>> batch;
  size_t batch_bytes = 0;
  while (!in_order_.empty() && batch.size() < options_.batch_spans) {
    const size_t bytes = in_order_.front()->bytes();
    if (!batch.empty() && batch_bytes + bytes > options_.batch_bytes) break;
    batch_bytes += bytes;
    batch.push_back(std::move(in_order_.front()));
    in_order_.pop_front();
    release(bytes);
  }
  return batch;
}

}  // namespace keelson::trace
