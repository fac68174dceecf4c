// trace/tracer.h
//
// Tracer makes the spans of a process and hands those that have ended to a sink.
//
// Threads: any. Nothing locks: ids come from a counter that is scrambled.
// Lifetime: clock and sink outlive it, and it its spans.
// Cost: what is not sampled costs a look at its parent, or one number; no memory.

#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "trace/sampler.h"
#include "trace/span.h"

namespace keelson::trace {

// Takes what has ended. Any thread; never waits.
class SpanSink {
 public:
  virtual ~SpanSink() = default;
  virtual void take(std::unique_ptr<Span> span) = 0;
};

class Tracer {
 public:
  struct Options {
    int64_t samples_per_million = 0;  // of the traces that begin here
    uint64_t seed[2] = {0, 0};        // of the ids; another one for each process
  };

  Tracer(const Options& options, const Clock& clock, SpanSink& sink);

  // What a call from elsewhere is about. The names of metadata are W3C's.
  struct Call {
    std::string_view name;  // "etcdserverpb.KV/Range"
    std::string_view traceparent;
    std::string_view tracestate;
  };
  // The span of that call: under the caller's, if there is one and it is sampled.
  SpanPtr begin(const Call& call);
  // The first span of a trace.
  SpanPtr begin(std::string_view name);
  // A span below `parent`; sampled, as that is.
  SpanPtr begin(std::string_view name, const Span& parent);

  const Clock& clock() const { return clock_; }
  void end(std::unique_ptr<Span> span);

 private:
  uint64_t next_number();
  SpanId next_span_id();
  // Nothing: the trace is not kept.
  std::optional<SpanContext> new_trace();

  const Sampler sampler_;
  const uint64_t salt_;
  const Clock& clock_;
  SpanSink& sink_;
  std::atomic<uint64_t> counter_;
};

}  // namespace keelson::trace
