#include "http/endpoint.h"

#include "apply/request_text.h"
#include "base/log.h"
#include "base/text.h"
#include "base/time_text.h"
#include "http/gzip.h"

namespace keelson::http {
namespace {

// Of a line "request stats", besides the request.
constexpr size_t kLineFrame = 384;

net::HttpResponse to_net(Response&& response, std::vector<net::HttpField> fields) {
  net::HttpResponse out;
  out.status = response.status;
  for (auto& [name, value] : response.headers) {
    out.fields.push_back({std::move(name), std::move(value)});
  }
  for (net::HttpField& field : fields) out.fields.push_back(std::move(field));
  out.body = response.shared_body.empty() ? net::MessageParts::copy(response.body)
                                          : net::MessageParts(std::move(response.shared_body));
  return out;
}

}  // namespace

Endpoint::Endpoint(Handlers& handlers, const FrontDoor& door) : handlers_(handlers), door_(door) {}

void Endpoint::add_to(net::Router& router, bool everything) {
  for (std::string_view path : Handlers::paths(everything))
    router.http(path, this, {.ignores_body = true});
}

void Endpoint::handle(net::HttpRequest request, net::HttpReplyRef reply) {
  if (door_.answers(request, *reply)) return;
  Request plain{request.method, std::string(request.path()), std::string(request.query()),
                accepts_gzip(request.field("Accept-Encoding"))};
  // A probe may answer on another lane; the reply belongs to its loop.
  handlers_.handle(
      plain, [reply = std::move(reply), fields = door_.fields(request)](Response response) mutable {
        net::Loop& loop = reply->loop();
        loop.post([reply = std::move(reply),
                   out = to_net(std::move(response), std::move(fields))]() mutable {
          if (!reply->over()) reply->send(std::move(out));
        });
      });
}

wire::InternalKind described_kind(const net::MethodInfo& method) {
  if (method.service != "etcdserverpb.KV") return wire::InternalKind::kNone;
  if (method.name == "Range") return wire::InternalKind::kRange;
  if (method.name == "Put") return wire::InternalKind::kPut;
  if (method.name == "DeleteRange") return wire::InternalKind::kDeleteRange;
  if (method.name == "Txn") return wire::InternalKind::kTxn;
  return wire::InternalKind::kNone;
}

void GrpcObserver::bind(const net::Router& router) {
  methods_.clear();
  for (const net::MethodInfo* method : router.methods()) {
    methods_.push_back({metrics_.grpc.find(method->path), described_kind(*method)});
  }
}

GrpcObserver::Known GrpcObserver::known(const net::ServerCall& call) const {
  const auto index = static_cast<size_t>(call.method().index);
  return index < methods_.size() ? methods_[index] : Known{std::nullopt, wire::InternalKind::kNone};
}

void GrpcObserver::call_started(const net::ServerCall& call) {
  if (auto m = known(call).method) metrics_.grpc.started(*m);
}

void GrpcObserver::message_received(const net::ServerCall& call, const Bytes& message) {
  if (auto m = known(call).method) metrics_.grpc.received(*m);
  metrics_.client_grpc_received_bytes.add(message.size());
}

void GrpcObserver::message_sent(const net::ServerCall& call, const net::MessageParts& message) {
  if (auto m = known(call).method) metrics_.grpc.sent(*m);
  metrics_.client_grpc_sent_bytes.add(message.size());
}

void GrpcObserver::call_finished(const net::ServerCall& call, const net::CallSummary& summary) {
  const Known m = known(call);
  if (!m.method) return;
  metrics_.grpc.handled(*m.method, static_cast<int>(summary.code), summary.elapsed);
  if (call.method().kind == net::MethodKind::kUnary) {
    log_request(call, summary, m.kind);
  } else if (summary.code != absl::StatusCode::kOk) {
    count_broken(call.method(), summary.code);
  }
}

// What the line says is made here, of what the call has at hand; a call that gets no line costs
// one comparison. Of a request that never reached its service, as of most methods, nothing is said.
void GrpcObserver::log_request(const net::ServerCall& call, const net::CallSummary& summary,
                               wire::InternalKind kind) const {
  const bool slow = summary.elapsed > slow_;
  const bool debug = log::enabled(log::Level::kDebug);
  if (!slow && !debug) return;
  // Who asks for debug lines gets all of them.
  if (!debug && !may_warn(lines_)) return;
  // The loop's clock stands still while it works.
  const Duration elapsed = summary.elapsed + (clock_.now() - call.loop().now());
  const auto& request = call.kept_request();
  const apply::RequestStats stats =
      request ? apply::request_stats(kind, request->bytes, request->size, summary.response)
              : apply::RequestStats();
  if (!debug) count_line(lines_, kLineFrame + stats.content.size());
  log::write(debug ? log::Level::kDebug : log::Level::kWarn, "request stats",
             {{"start time", timestamp_text(clock_.unix_time() - elapsed)},
              {"time spent", duration_text(elapsed)},
              {"remote", summary.remote},
              {"response type", call.method().path},
              {"request count", stats.request_count},
              {"request size", stats.request_size},
              {"response count", stats.response_count},
              {"response size", stats.response_size},
              {"request content", stats.content}});
}

// What grpc-go's Recv fails with when it is not the client who went away: a message that does not
// parse, or is too long.
void GrpcObserver::count_broken(const net::MethodInfo& method, absl::StatusCode code) {
  if (code != absl::StatusCode::kInternal && code != absl::StatusCode::kResourceExhausted) return;
  if (method.name == "Watch" && method.service == "etcdserverpb.Watch") {
    metrics_.stream_failures.add({"receive", "watch"});
  } else if (method.name == "LeaseKeepAlive") {
    metrics_.stream_failures.add({"receive", "lease-keepalive"});
  }
}

}  // namespace keelson::http
