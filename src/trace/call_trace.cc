#include "trace/call_trace.h"

#include <charconv>
#include <string>
#include <utility>

#include "base/text.h"

namespace keelson::trace {
namespace {

constexpr std::string_view kCodes[] = {
    "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
    "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
    "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED"};

std::string_view name_of(absl::StatusCode code) {
  const auto number = static_cast<size_t>(code);
  return number < std::size(kCodes) ? kCodes[number] : "UNKNOWN";
}

// The others are for the client to be sorry about.
bool is_the_servers_fault(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDataLoss:
      return true;
    default:
      return false;
  }
}

// "host:port", as Go takes it apart: what does not come apart is an address as it is.
void set_server(Span& span, std::string_view server) {
  std::string_view host = server;
  const size_t colon = server.rfind(':');
  const bool in_brackets = server.starts_with('[');
  const size_t bracket = in_brackets ? server.find(']') : server.npos;
  if (colon == server.npos || (in_brackets ? bracket + 1 != colon : server.find(':') != colon)) {
    return span.set("server.address", host);
  }
  host = in_brackets ? server.substr(1, bracket - 1) : server.substr(0, colon);
  span.set("server.address", host);
  const std::string_view port = server.substr(colon + 1);
  int64_t number = 0;
  const char* end = port.data() + port.size();
  const auto [at, error] = std::from_chars(port.data(), end, number);
  if (error == std::errc() && at == end) span.set("server.port", number);
}

}  // namespace

std::unique_ptr<CallTrace> CallTrace::begin(Tracer& tracer, const Tracer::Call& call,
                                            std::string_view server) {
  SpanPtr span = tracer.begin(call);
  if (!span) return nullptr;
  span->set("rpc.method", call.name);
  span->set("rpc.system.name", "grpc");
  set_server(*span, server);
  return std::unique_ptr<CallTrace>(new CallTrace(std::move(span)));
}

Span& CallTrace::work(std::string_view name) {
  work_ = begin(name);
  return *work_;
}

void CallTrace::proposed() {
  proposed_ = true;
  current().event(kProposed);
}

void CallTrace::answered(bool applied, std::string_view error) {
  proposed_ = false;
  if (applied) return current().event(kAnswered);
  if (!error.empty()) current().record_error(error);
}

void CallTrace::finish(const absl::Status& status) {
  if (proposed_) answered(false, "etcdserver: request cancelled");
  work_.reset();
  if (is_the_servers_fault(status.code())) call_->fail(message_of(status));
  call_->set("rpc.response.status_code", name_of(status.code()));
}

}  // namespace keelson::trace
