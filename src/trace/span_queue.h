// trace/span_queue.h
//
// SpanQueue is where spans that have ended wait to be sent: pushed by any thread, taken in batches
// by one. When it is full, what comes is dropped and counted.
//
// Threads: push() and the counts from any, without a lock; the rest from the one that takes.
// Bounds: spans and bytes, of those pushed and not taken.

#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "trace/span.h"

namespace keelson::trace {

class SpanQueue {
 public:
  struct Options {
    size_t spans = 2048;
    size_t bytes = size_t{16} << 20;
    // What makes a whole batch, each of them.
    size_t batch_spans = 512;
    size_t batch_bytes = size_t{2} << 20;  // collectors take messages of 4 MB
  };

  explicit SpanQueue(const Options& options);
  ~SpanQueue();
  SpanQueue(const SpanQueue&) = delete;
  SpanQueue& operator=(const SpanQueue&) = delete;

  // True: with this one there is a whole batch. Only one of those who push is told so.
  bool push(std::unique_ptr<Span> span);

  bool has_batch() const {
    return spans_.load(std::memory_order_relaxed) >= options_.batch_spans ||
           bytes_.load(std::memory_order_relaxed) >= options_.batch_bytes;
  }
  // The oldest ones, no more than make a batch; empty if there are none.
  std::vector<std::unique_ptr<Span>> take();

  uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

 private:
  void gather();
  void release(size_t bytes);

  const Options options_;
  std::atomic<Span*> newest_{nullptr};            // linked by Span::next_, the newest first
  std::deque<std::unique_ptr<Span>> in_order_{};  // from there, the oldest first; the taker's
  // Of both; beyond the bounds only for as long as a push takes.
  std::atomic<size_t> spans_{0};
  std::atomic<size_t> bytes_{0};
  std::atomic<uint64_t> dropped_{0};
};

}  // namespace keelson::trace
