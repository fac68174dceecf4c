// rpc/spans.h
//
// What the spans of a traced call say of the request that is served: names and attributes as
// etcd's. Nothing here runs for a call that is not sampled.
//
// Threads: the call's loop.
// Source: etcd v3.7.1, server/etcdserver/v3_server.go, tracing.go and api/v3rpc/watch.go.

#pragma once

#include <cstdint>
#include <string_view>

#include "proto/rpc.pb.h"
#include "trace/call_trace.h"

namespace keelson::rpc {

// Each begins the span of what is done for the call from now on; it ends with the call, or when
// another begins.
void begin_span(trace::CallTrace& trace, const etcdserverpb::RangeRequest& request);
void begin_stream_span(trace::CallTrace& trace, const etcdserverpb::RangeRequest& request);
void begin_put_span(trace::CallTrace& trace, std::string_view key);
void begin_span(trace::CallTrace& trace, const etcdserverpb::DeleteRangeRequest& request);
void begin_span(trace::CallTrace& trace, const etcdserverpb::TxnRequest& request);
void begin_span(trace::CallTrace& trace, const etcdserverpb::CompactionRequest& request);
void begin_span(trace::CallTrace& trace, const etcdserverpb::LeaseGrantRequest& request);
void begin_span(trace::CallTrace& trace, const etcdserverpb::LeaseRevokeRequest& request);

// Of these a stream has many at a time; the caller ends them.
trace::SpanPtr make_span(trace::CallTrace& trace,
                         const etcdserverpb::LeaseKeepAliveRequest& request);
trace::SpanPtr make_span(trace::CallTrace& trace, const etcdserverpb::WatchCreateRequest& request);

// What the member does by itself, in traces of its own: null when they are not sampled, or when
// `tracer` is null.
trace::SpanPtr make_own_span(trace::Tracer* tracer, const etcdserverpb::CompactionRequest& request);
trace::SpanPtr make_own_span(trace::Tracer* tracer, const etcdserverpb::RangeRequest& request);
trace::SpanPtr make_own_span(trace::Tracer* tracer,
                             const etcdserverpb::LeaseRevokeRequest& request);

// Whether an answer to a proposal is the state machine's, and not that it never got there.
bool is_applied(const absl::Status& status);

}  // namespace keelson::rpc
