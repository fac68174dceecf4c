// trace/batcher.h
//
// Batcher gathers spans that have ended and has them sent: a batch as soon as there is a whole one,
// and what there is every few seconds. What cannot be sent is tried again for a while and then
// given up: a collector that is down, slow or full costs its traces and nothing else.
//
// Threads: take() and counts() from any, without a lock or a wait; the rest is on a lane of its
//   own, on which the exporter blocks. start() and close() once, each from any thread but the lane.
// Lifetime: lane, clock, random and exporter outlive it; the lane has stopped before it goes.
// Bounds: the queue, and one batch that is being sent. The log hears of what was lost once a
// minute. Source: OpenTelemetry's Go library v1.43.0: sdk/trace/batch_span_processor.go,
//   exporters/otlp/otlptrace/otlptracegrpc (the time for a batch and the pauses between its tries).

#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/random.h"
#include "trace/span_queue.h"
#include "trace/tracer.h"

namespace keelson::trace {

using Batch = std::vector<std::unique_ptr<Span>>;

// What a try to send a batch came to.
struct Sent {
  enum class What : uint8_t { kTaken, kTryAgain, kRefused };
  What what = What::kTaken;
  Duration pause{0};     // kTryAgain: as the collector wishes; 0: it has none
  int64_t rejected = 0;  // kTaken: spans that the collector did not want
  std::string error = {};
};

class Exporter {
 public:
  virtual ~Exporter() = default;
  // Blocks, but hardly longer than `patience`.
  virtual Sent send(const Batch& batch, Duration patience) = 0;
  // Any thread: ends a send() that is under way, and all that follow.
  virtual void cancel() = 0;
};

class Batcher final : public SpanSink {
 public:
  struct Options {
    SpanQueue::Options queue;
    Duration delay = std::chrono::seconds(5);
    // For a batch, all its tries together.
    Duration patience = std::chrono::seconds(10);
    // Between tries: half as much again each time, and more or less by half.
    Duration first_pause = std::chrono::seconds(5);
    Duration longest_pause = std::chrono::seconds(30);
    Duration between_lines = std::chrono::minutes(1);  // of the log
  };

  struct Counts {
    uint64_t sent = 0;
    uint64_t dropped = 0;  // the queue was full
    uint64_t failed = 0;   // given up, or not wanted by the collector
  };

  Batcher(const Options& options, Executor& lane, const Clock& clock, Random& random,
          Exporter& exporter);

  void start();
  void take(std::unique_ptr<Span> span) override;
  // Tries to send what there is, each batch once, until `patience` has passed; then calls `done` on
  // the lane. Spans that come later are dropped.
  void close(Duration patience, Task done);

  Counts counts() const;

 private:
  void tick();
  void send(bool also_a_part);
  void go_on();
  void batch_is_over();
  bool next_batch();
  // False: the batch is to be tried again later.
  bool send_batch();
  bool pause(const Sent& sent);
  void resume(uint64_t pause);
  void give_up(std::string_view error);
  void close_now(MonotonicTime until);
  void report();

  const Options options_;
  Executor& lane_;
  const Clock& clock_;
  Random& random_;
  Exporter& exporter_;
  SpanQueue queue_;
  std::atomic<bool> closed_{false};
  std::atomic<uint64_t> sent_{0};
  std::atomic<uint64_t> failed_{0};

  // The lane's own.
  MonotonicTime due_{};       // when what there is goes, be it a whole batch or not …
  bool part_is_due_ = false;  // … which is now
  bool going_on_ = false;     // a task that looks for the next batch is on its way
  Batch batch_;               // being sent; between tasks it has something exactly while paused_
  bool paused_ = false;       // until its next try
  uint64_t pause_ = 0;        // the number of that pause
  MonotonicTime until_{};     // when no more is tried
  Duration next_pause_{0};
  bool closing_ = false;
  std::string last_error_;
  Counts reported_;  // by the log; <= counts()
  MonotonicTime last_line_{};
  bool any_line_ = false;
};

}  // namespace keelson::trace
