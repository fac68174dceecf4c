#include "outbound/otlp_message.h"

#include <array>

#include "base/text.h"
#include "base/utf8.h"

namespace keelson::outbound {
namespace {

namespace common = opentelemetry::proto::common::v1;
namespace otlp = opentelemetry::proto::trace::v1;
using opentelemetry::proto::collector::trace::v1::ExportTraceServiceRequest;

// Who looks for spans by what has made them finds those of etcd's members and of ours.
void set_scope(trace::Scope scope, common::InstrumentationScope* out) {
  switch (scope) {
    case trace::Scope::kGrpc:
      out->set_name("go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc");
      out->set_version("0.68.0");
      break;
    case trace::Scope::kEtcd:
      out->set_name("go.etcd.io/etcd");
      break;
  }
}

template <typename Out>
void add_attributes(const std::vector<trace::Attribute>& attributes, Out* out) {
  for (const trace::Attribute& attribute : attributes) {
    common::KeyValue* pair = out->add_attributes();
    pair->set_key(std::string(attribute.key));
    common::AnyValue* value = pair->mutable_value();
    if (const auto* text = std::get_if<std::string>(&attribute.value)) {
      value->set_string_value(to_utf8(*text));
    } else if (const auto* number = std::get_if<int64_t>(&attribute.value)) {
      value->set_int_value(*number);
    } else {
      value->set_bool_value(std::get<bool>(attribute.value));
    }
  }
}

uint32_t flags_of(const trace::Span::Start& start) {
  uint32_t flags = start.context.flags | otlp::SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK;
  if (start.parent_is_remote) flags |= otlp::SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK;
  return flags;
}

uint64_t nanoseconds(Duration since_epoch) {
  return since_epoch > Duration(0) ? static_cast<uint64_t>(since_epoch.count()) : 0;
}

void set_span(const trace::Span& span, otlp::Span* out) {
  const trace::Span::Start& start = span.start();
  out->set_trace_id(start.context.trace.bytes());
  out->set_span_id(start.context.span.bytes());
  out->set_trace_state(start.context.state.str());
  if (start.parent.valid()) out->set_parent_span_id(start.parent.bytes());
  out->set_flags(flags_of(start));
  out->set_name(to_utf8(start.name));
  out->set_kind(start.kind == trace::Kind::kServer ? otlp::Span::SPAN_KIND_SERVER
                                                   : otlp::Span::SPAN_KIND_INTERNAL);
  out->set_start_time_unix_nano(nanoseconds(span.began()));
  out->set_end_time_unix_nano(nanoseconds(span.ended()));
  add_attributes(span.attributes(), out);
  for (const trace::Event& event : span.events()) {
    otlp::Span::Event* told = out->add_events();
    told->set_name(std::string(event.name));
    told->set_time_unix_nano(nanoseconds(event.time));
    add_attributes(event.attributes, told);
  }
  otlp::Status* status = out->mutable_status();
  if (!span.failed()) return;
  status->set_code(otlp::Status::STATUS_CODE_ERROR);
  status->set_message(to_utf8(span.failure()));
}

}  // namespace

ExportTraceServiceRequest to_otlp(const Resource& resource, const trace::Batch& batch) {
  ExportTraceServiceRequest request;
  otlp::ResourceSpans* all = request.add_resource_spans();
  for (const auto& [name, value] : resource) {
    common::KeyValue* pair = all->mutable_resource()->add_attributes();
    pair->set_key(to_utf8(name));
    pair->mutable_value()->set_string_value(to_utf8(value));
  }
  std::array<otlp::ScopeSpans*, 2> by_scope = {};
  for (const auto& span : batch) {
    const trace::Scope scope = span->start().scope;
    otlp::ScopeSpans*& spans = by_scope[static_cast<size_t>(scope)];
    if (!spans) {
      spans = all->add_scope_spans();
      set_scope(scope, spans->mutable_scope());
    }
    set_span(*span, spans->add_spans());
  }
  return request;
}

}  // namespace keelson::outbound
