#include "trace/tracer.h"

#include <utility>

#include "base/random.h"

namespace keelson::trace {

Tracer::Tracer(const Options& options, const Clock& clock, SpanSink& sink)
    : sampler_(options.samples_per_million),
      salt_(options.seed[1]),
      clock_(clock),
      sink_(sink),
      counter_(options.seed[0]) {}

// No two are the same before the counter has gone round.
uint64_t Tracer::next_number() {
  return SeededRandom(counter_.fetch_add(1, std::memory_order_relaxed)).next();
}

SpanId Tracer::next_span_id() {
  SpanId id;
  while (!id.valid()) id = {next_number()};
  return id;
}

std::optional<SpanContext> Tracer::new_trace() {
  if (sampler_.never()) return std::nullopt;
  SpanContext context{.trace = {.low = next_number()}, .flags = kSampled};
  if (!sampler_.keeps(context.trace)) return std::nullopt;
  context.trace.high = next_number() ^ salt_;
  if (!context.trace.valid()) return std::nullopt;
  context.span = next_span_id();
  return context;
}

SpanPtr Tracer::begin(const Call& call) {
  std::optional<SpanContext> caller = parse_traceparent(call.traceparent);
  std::optional<SpanContext> context;
  if (!caller) {
    context = new_trace();
  } else if (caller->sampled()) {
    context = {.trace = caller->trace,
               .span = next_span_id(),
               .flags = caller->flags,
               .state = Bytes::copy(parse_tracestate(call.tracestate))};
  }
  if (!context) return nullptr;
  // The caller of what came by the wire is elsewhere even where it says nothing of itself.
  return SpanPtr(new Span(this, {.context = *std::move(context),
                                 .parent = caller ? caller->span : SpanId(),
                                 .parent_is_remote = true,
                                 .name = std::string(call.name),
                                 .scope = Scope::kGrpc,
                                 .kind = Kind::kServer}));
}

SpanPtr Tracer::begin(std::string_view name) {
  std::optional<SpanContext> context = new_trace();
  if (!context) return nullptr;
  return SpanPtr(
      new Span(this, {.context = *std::move(context), .parent = {}, .name = std::string(name)}));
}

SpanPtr Tracer::begin(std::string_view name, const Span& parent) {
  SpanContext context = parent.context();
  context.span = next_span_id();
  return SpanPtr(new Span(
      this,
      {.context = std::move(context), .parent = parent.context().span, .name = std::string(name)}));
}

void Tracer::end(std::unique_ptr<Span> span) {
  span->ended_ = span->now();
  sink_.take(std::move(span));
}

}  // namespace keelson::trace
