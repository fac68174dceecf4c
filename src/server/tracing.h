// server/tracing.h
//
// Tracing is what --enable-distributed-tracing switches on: a tracer for the lanes, and a thread
// that sends what they have made to a collector.
//
// Threads: start(), close and the destructor on the main thread; counts() from any.
// Lifetime: outlives the lanes and whatever is traced; the clock outlives it.
// Failure: what cannot be sent is lost and told in the log; a member never waits for a collector,
//   but at its end for a few seconds.
// Source: etcd v3.7.1, server/embed/config_tracing.go; OpenTelemetry's Go library v1.43.0, which
//   reads the variables of the environment.

#pragma once

#include <future>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/random.h"
#include "base/thread_lane.h"
#include "node/node.h"
#include "outbound/otlp_exporter.h"
#include "server/config.h"
#include "trace/batcher.h"
#include "trace/tracer.h"

namespace keelson::server {

// What the flags and OTEL_… say of it.
struct TracingSettings {
  outbound::OtlpOptions collector;
  trace::Batcher::Options batches;
};

// The value of a variable; empty when it is not set.
using Variable = absl::FunctionRef<std::string(const char* name)>;
TracingSettings tracing_settings(const TracingConfig& config, Variable variable);

// The member revokes leases that have expired by itself: traces of their own. Before the node
// starts; `tracer` outlives its lanes.
void trace_revocations(node::Node& node, trace::Tracer& tracer);

class Tracing {
 public:
  // Errors: InvalidArgument for files of OTEL_… that cannot be read.
  static absl::StatusOr<std::unique_ptr<Tracing>> start(const TracingConfig& config,
                                                        const Clock& clock, uint64_t seed);
  ~Tracing();

  trace::Tracer& tracer() { return tracer_; }
  trace::Batcher::Counts counts() const { return batcher_.counts(); }

  // In two steps, so that other things end meanwhile: has what there is sent, for `patience` at
  // most; then waits for that. Spans that end later are dropped.
  void begin_close(Duration patience);
  void finish_close();

 private:
  Tracing(const TracingConfig& config, const trace::Batcher::Options& batches, const Clock& clock,
          uint64_t seed, std::unique_ptr<outbound::OtlpExporter> exporter);

  const Clock& clock_;
  SeededRandom random_;  // the lane's, but for the seeds
  const std::unique_ptr<outbound::OtlpExporter> exporter_;
  ThreadLane lane_{"spans"};
  trace::Batcher batcher_;
  trace::Tracer tracer_;
  std::promise<void> flushed_;
  MonotonicTime until_{};  // of the flush, once closing_
  bool closing_ = false;
  bool closed_ = false;
};

}  // namespace keelson::server
