// trace/context.h
//
// SpanContext is what names a span to others: the trace that it belongs to, itself, and whether the
// trace is sampled. It comes with a call as the metadata `traceparent` and `tracestate`.
//
// Threads: values.
// Source: W3C Trace Context, as OpenTelemetry's Go library (v1.43.0, which etcd v3.7.1 is built
//   with) reads it: propagation/trace_context.go, trace/tracestate.go.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace keelson::trace {

// Sixteen bytes; the numbers are those bytes in big-endian order. All zero is no id.
struct TraceId {
  uint64_t high = 0;
  uint64_t low = 0;

  bool valid() const { return high != 0 || low != 0; }
  std::string bytes() const;
  friend constexpr bool operator==(TraceId, TraceId) = default;
};

struct SpanId {
  uint64_t value = 0;  // 0 is no id

  bool valid() const { return value != 0; }
  std::string bytes() const;
  friend constexpr bool operator==(SpanId, SpanId) = default;
};

// Of a context's flags; no others are passed on.
inline constexpr uint8_t kSampled = 1;
inline constexpr uint8_t kRandom = 2;

struct SpanContext {
  TraceId trace;
  SpanId span;
  uint8_t flags = 0;
  Bytes state = {};  // tracestate, in order; one for all spans below a call's

  bool sampled() const { return (flags & kSampled) != 0; }
  friend bool operator==(const SpanContext&, const SpanContext&) = default;
};

// What `traceparent` says, without a state. Nothing for what is malformed: then the caller is not
// traced, as far as we know.
std::optional<SpanContext> parse_traceparent(std::string_view text);

// What is passed on of `tracestate`: its members as they came, but for the space around them.
// Empty when any of it is malformed.
std::string parse_tracestate(std::string_view text);

}  // namespace keelson::trace
