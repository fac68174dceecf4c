#include "tests/spans/collector.h"

#include <algorithm>
#include <chrono>

#include "absl/strings/str_join.h"
#include "base/text.h"

namespace keelson::spans {
namespace {

namespace service = opentelemetry::proto::collector::trace::v1;

template <typename Attributes>
std::vector<std::string> texts_of(const Attributes& attributes) {
  std::vector<std::string> out;
  for (const auto& attribute : attributes) {
    const auto& value = attribute.value();
    std::string text = attribute.key() + "=";
    switch (value.value_case()) {
      case opentelemetry::proto::common::v1::AnyValue::kStringValue:
        text += value.string_value();
        break;
      case opentelemetry::proto::common::v1::AnyValue::kIntValue:
        text += cat("#", value.int_value());
        break;
      case opentelemetry::proto::common::v1::AnyValue::kBoolValue:
        text += value.bool_value() ? "true" : "false";
        break;
      default:
        text += "?";
    }
    out.push_back(std::move(text));
  }
  return out;
}

}  // namespace

Collector::Collector(const std::string& address) {
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port_);
  builder.RegisterService(this);
  server_ = builder.BuildAndStart();
}

Collector::~Collector() {
  let_go();
  server_->Shutdown(std::chrono::system_clock::now());
}

std::string Collector::address() const { return cat("127.0.0.1:", port_); }

grpc::Status Collector::Export(grpc::ServerContext* context,
                               const service::ExportTraceServiceRequest* request,
                               service::ExportTraceServiceResponse*) {
  std::unique_lock lock(mutex_);
  while (hangs_ && !context->IsCancelled()) changed_.wait_for(lock, std::chrono::milliseconds(20));
  for (const auto& from : request->resource_spans()) {
    for (const auto& scoped : from.scope_spans()) {
      for (const otlp::Span& span : scoped.spans()) {
        traces_[hex(span.trace_id())].push_back(
            {span, cat(scoped.scope().name(), " ", scoped.scope().version()),
             absl::StrJoin(texts_of(from.resource().attributes()), ", ")});
        ++size_;
      }
    }
  }
  changed_.notify_all();
  return grpc::Status::OK;
}

std::vector<Received> Collector::trace(const std::string& id, size_t count,
                                       harness::Milliseconds patience) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, patience, [&] { return traces_[id].size() >= count; });
  return traces_[id];
}

std::vector<Received> Collector::any(const std::string& name, const std::string& attribute,
                                     harness::Milliseconds patience) {
  std::unique_lock lock(mutex_);
  std::vector<Received> found;
  changed_.wait_for(lock, patience, [&] {
    for (const auto& [id, spans] : traces_) {
      for (const Received& one : spans) {
        if (one.span.name() != name) continue;
        const std::vector<std::string> all = attributes_of(one.span);
        if (std::find(all.begin(), all.end(), attribute) == all.end()) continue;
        found = spans;
        return true;
      }
    }
    return false;
  });
  return found;
}

size_t Collector::size() {
  std::lock_guard lock(mutex_);
  return size_;
}

void Collector::hang() {
  std::lock_guard lock(mutex_);
  hangs_ = true;
}

void Collector::let_go() {
  std::lock_guard lock(mutex_);
  hangs_ = false;
  changed_.notify_all();
}

std::vector<std::string> attributes_of(const otlp::Span& span) {
  return texts_of(span.attributes());
}

std::string hex(const std::string& bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (unsigned char byte : bytes) out.append({kDigits[byte >> 4], kDigits[byte & 15]});
  return out;
}

std::vector<std::string> lines_of(const std::vector<Received>& spans, const std::string& caller) {
  std::map<std::string, std::string> names = {{"", "-"}, {caller, "caller"}};
  for (const Received& one : spans) names[hex(one.span.span_id())] = one.span.name();
  std::vector<std::string> lines;
  for (const Received& one : spans) {
    const otlp::Span& span = one.span;
    std::vector<std::string> events;
    for (const auto& event : span.events()) {
      std::string text = event.name();
      for (const std::string& said : texts_of(event.attributes())) text += " " + said;
      events.push_back(std::move(text));
    }
    std::string line = cat(span.name(), " < ", names[hex(span.parent_span_id())], " [",
                           absl::StrJoin(attributes_of(span), ", "), "]");
    if (!events.empty()) line += cat(" (", absl::StrJoin(events, ", "), ")");
    if (span.status().code() != otlp::Status::STATUS_CODE_UNSET) {
      line += cat(" ", otlp::Status::StatusCode_Name(span.status().code()), " ",
                  span.status().message());
    }
    lines.push_back(std::move(line));
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}

}  // namespace keelson::spans
