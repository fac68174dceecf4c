// trace/call_trace.h
//
// CallTrace is what a sampled gRPC call carries: its own span, and below that one of what is done
// for it just now, of the same names and with the same attributes as etcd's.
//
// Threads: the call's loop. Lifetime: the call's; the Tracer outlives it.
// Source: etcd v3.7.1, server/etcdserver/v3_server.go; otelgrpc v0.68.0, stats_handler.go.

#pragma once

#include <memory>
#include <string_view>

#include "absl/status/status.h"
#include "trace/tracer.h"

namespace keelson::trace {

class CallTrace {
 public:
  // Null: the call is not sampled. `server` is where it came in: "127.0.0.1:2379", "[::1]:2379",
  // or a path.
  static std::unique_ptr<CallTrace> begin(Tracer& tracer, const Tracer::Call& call,
                                          std::string_view server);

  // A span of what is done for the call from now on. The one before ends.
  Span& work(std::string_view name);
  void work_done() { work_.reset(); }
  // One of several things that are done at a time; the caller ends it.
  SpanPtr begin(std::string_view name) { return call_->tracer().begin(name, *call_); }

  // A change is on its way through the log, and has come back.
  void proposed();
  // `applied`: the answer is the state machine's; otherwise it never came to that.
  void answered(bool applied, std::string_view error);

  // The call is over with this. Last of all calls.
  void finish(const absl::Status& status);

 private:
  explicit CallTrace(SpanPtr call) : call_(std::move(call)) {}
  Span& current() { return work_ ? *work_ : *call_; }

  const SpanPtr call_;
  SpanPtr work_;           // null: nothing that has a span of its own
  bool proposed_ = false;  // and not answered
};

}  // namespace keelson::trace
