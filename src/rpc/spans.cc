#include "rpc/spans.h"

#include <algorithm>
#include <string>

#include "base/errors.h"
#include "rpc/checks.h"

namespace keelson::rpc {
namespace {

namespace pb = etcdserverpb;
using Ops = google::protobuf::RepeatedPtrField<pb::RequestOp>;
using trace::Span;

void describe(Span& span, const pb::RangeRequest& request) {
  span.set("range_begin", request.key());
  span.set("range_end", request.range_end());
  span.set("rev", request.revision());
  span.set("limit", request.limit());
  span.set("count_only", request.count_only());
}

void describe_unary(Span& span, const pb::RangeRequest& request) {
  describe(span, request);
  span.set("keys_only", request.keys_only());
}

void describe(Span& span, const pb::CompactionRequest& request) {
  span.set("is_physical", request.physical());
  span.set("rev", request.revision());
}

void describe(Span& span, const pb::LeaseRevokeRequest& request) { span.set("id", request.id()); }

std::string_view key_of(const pb::RequestOp& op) {
  switch (op.request_case()) {
    case pb::RequestOp::kRequestRange:
      return op.request_range().key();
    case pb::RequestOp::kRequestPut:
      return op.request_put().key();
    case pb::RequestOp::kRequestDeleteRange:
      return op.request_delete_range().key();
    default:
      return {};
  }
}

std::string_view type_of(const pb::RequestOp& op) {
  switch (op.request_case()) {
    case pb::RequestOp::kRequestRange:
      return "range";
    case pb::RequestOp::kRequestPut:
      return "put";
    case pb::RequestOp::kRequestDeleteRange:
      return "delete_range";
    case pb::RequestOp::kRequestTxn:
      return "txn";
    default:
      return {};
  }
}

// What the first one says that says anything.
template <typename Items, typename Say>
std::string_view first_of(const Items& items, Say say) {
  for (const auto& item : items) {
    if (std::string_view said = say(item); !said.empty()) return said;
  }
  return {};
}

// -1: nothing is put.
int64_t first_lease(const Ops& ops) {
  auto put = std::find_if(ops.begin(), ops.end(),
                          [](const pb::RequestOp& op) { return op.has_request_put(); });
  return put == ops.end() ? -1 : put->request_put().lease();
}

template <typename Request>
trace::SpanPtr own(trace::Tracer* tracer, std::string_view name, const Request& request,
                   void (*describe)(Span&, const Request&)) {
  trace::SpanPtr span = tracer ? tracer->begin(name) : nullptr;
  if (span) describe(*span, request);
  return span;
}

}  // namespace

void begin_span(trace::CallTrace& trace, const pb::RangeRequest& request) {
  describe_unary(trace.work("range"), request);
}

void begin_stream_span(trace::CallTrace& trace, const pb::RangeRequest& request) {
  describe(trace.work("range_streaming"), request);
}

void begin_put_span(trace::CallTrace& trace, std::string_view key) {
  trace.work("put").set("key", key);
}

void begin_span(trace::CallTrace& trace, const pb::DeleteRangeRequest& request) {
  Span& span = trace.work("delete_range");
  span.set("range_begin", request.key());
  span.set("range_end", request.range_end());
}

void begin_span(trace::CallTrace& trace, const pb::TxnRequest& request) {
  Span& span = trace.work("txn");
  span.set("compare_first_key",
           first_of(request.compare(),
                    [](const pb::Compare& compare) -> std::string_view { return compare.key(); }));
  span.set("success_first_key", first_of(request.success(), key_of));
  span.set("success_first_type", first_of(request.success(), type_of));
  span.set("success_first_lease", first_lease(request.success()));
  span.set("compare_len", int64_t{request.compare_size()});
  span.set("success_len", int64_t{request.success_size()});
  span.set("failure_len", int64_t{request.failure_size()});
  span.set("read_only", is_read_only(request));
}

void begin_span(trace::CallTrace& trace, const pb::CompactionRequest& request) {
  describe(trace.work("compact"), request);
}

void begin_span(trace::CallTrace& trace, const pb::LeaseGrantRequest& request) {
  Span& span = trace.work("lease_grant");
  span.set("id", request.id());
  span.set("ttl", request.ttl());
}

void begin_span(trace::CallTrace& trace, const pb::LeaseRevokeRequest& request) {
  describe(trace.work("lease_revoke"), request);
}

trace::SpanPtr make_span(trace::CallTrace& trace, const pb::LeaseKeepAliveRequest& request) {
  trace::SpanPtr span = trace.begin("lease_renew");
  span->set("id", request.id());
  return span;
}

trace::SpanPtr make_span(trace::CallTrace& trace, const pb::WatchCreateRequest& request) {
  trace::SpanPtr span = trace.begin("watch");
  const std::string_view smallest("\0", 1);                 // which is what an empty key means,
  const bool to_the_end = request.range_end() == smallest;  // and this as an end
  span->set("key", request.key().empty() ? smallest : std::string_view(request.key()));
  span->set("range_end", to_the_end ? std::string_view() : std::string_view(request.range_end()));
  span->set("start_rev", request.start_revision());
  span->set("progress_notify", request.progress_notify());
  span->set("prev_kv", request.prev_kv());
  span->set("fragment", request.fragment());
  return span;
}

trace::SpanPtr make_own_span(trace::Tracer* tracer, const pb::CompactionRequest& request) {
  return own(tracer, "compact", request, describe);
}

trace::SpanPtr make_own_span(trace::Tracer* tracer, const pb::RangeRequest& request) {
  return own(tracer, "range", request, describe_unary);
}

trace::SpanPtr make_own_span(trace::Tracer* tracer, const pb::LeaseRevokeRequest& request) {
  return own(tracer, "lease_revoke", request, describe);
}

bool is_applied(const absl::Status& status) {
  if (status.ok()) return true;
  const absl::Status others[] = {errors::RequestTooManyRequests(),
                                 errors::RequestTooLarge(),
                                 errors::Timeout(),
                                 errors::TimeoutDueToLeaderFail(),
                                 errors::TimeoutDueToConnectionLost(),
                                 errors::Stopped(),
                                 errors::LeaderChanged(),
                                 errors::NoLeader(),
                                 errors::NotLeader()};
  return std::find(std::begin(others), std::end(others), status) == std::end(others);
}

}  // namespace keelson::rpc
