#include "http/endpoint.h"

#include "base/log.h"
#include "base/text.h"
#include "base/time_text.h"
#include "http/gzip.h"

namespace keelson::http {
namespace {

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

void GrpcObserver::bind(const net::Router& router) {
  methods_.clear();
  for (const net::MethodInfo* method : router.methods()) {
    methods_.push_back(metrics_.grpc.find(method->path));
  }
}

std::optional<GrpcMetrics::Method> GrpcObserver::known(const net::MethodInfo& method) const {
  const auto index = static_cast<size_t>(method.index);
  return index < methods_.size() ? methods_[index] : std::nullopt;
}

void GrpcObserver::call_started(int, const net::MethodInfo& method) {
  if (auto m = known(method)) metrics_.grpc.started(*m);
}

void GrpcObserver::message_received(int, const net::MethodInfo& method, size_t bytes) {
  if (auto m = known(method)) metrics_.grpc.received(*m);
  metrics_.client_grpc_received_bytes.add(bytes);
}

void GrpcObserver::message_sent(int, const net::MethodInfo& method, size_t bytes) {
  if (auto m = known(method)) metrics_.grpc.sent(*m);
  metrics_.client_grpc_sent_bytes.add(bytes);
}

void GrpcObserver::call_finished(int, const net::MethodInfo& method,
                                 const net::CallSummary& summary) {
  auto m = known(method);
  if (!m) return;
  metrics_.grpc.handled(*m, static_cast<int>(summary.code), summary.elapsed);
  if (method.kind == net::MethodKind::kUnary) {
    log_request(method, summary);
  } else if (summary.code != absl::StatusCode::kOk) {
    count_broken(method, summary.code);
  }
}

void GrpcObserver::log_request(const net::MethodInfo& method,
                               const net::CallSummary& summary) const {
  const bool slow = summary.elapsed > slow_;
  if (!slow && !log::enabled(log::Level::kDebug)) return;
  log::write(slow ? log::Level::kWarn : log::Level::kDebug, "request stats",
             {{"time spent", duration_text(summary.elapsed)},
              {"remote", summary.remote},
              {"response type", method.path},
              {"code", static_cast<int>(summary.code)}});
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
