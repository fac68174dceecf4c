#include "proxy/pages.h"

#include <string_view>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "ctl/json_text.h"
#include "proxy/cluster_probe.h"

namespace keelson::proxy {
namespace {

constexpr std::string_view kMetrics = "/metrics", kHealth = "/health",
                           kProxyMetrics = "/proxy/metrics", kProxyHealth = "/proxy/health";
constexpr char kText[] = "text/plain; charset=utf-8";
constexpr char kPrometheus[] = "text/plain; version=0.0.4; charset=utf-8";
constexpr size_t kLongestPage = size_t{64} << 20;

// As Go's servers say what is wrong.
net::HttpResponse error(int status, std::string_view text) {
  return {.status = status,
          .fields = {{"Content-Type", kText}, {"X-Content-Type-Options", "nosniff"}},
          .body = Parts::copy(cat(text, "\n"))};
}

void send(net::HttpReplyRef reply, net::HttpResponse response) {
  net::Loop& loop = reply->loop();
  loop.post([reply = std::move(reply), response = std::move(response)]() mutable {
    if (!reply->over()) reply->send(std::move(response));
  });
}

}  // namespace

void Pages::add_to(net::Router& router) {
  for (std::string_view path : {kMetrics, kHealth, kProxyMetrics, kProxyHealth}) {
    router.http(path, this, {.ignores_body = true});
  }
}

void Pages::handle(net::HttpRequest request, net::HttpReplyRef reply) {
  const std::string_view path = request.path();
  if (path == kMetrics) return cluster_metrics(std::move(reply), request.peer.tls);
  if (path != kProxyMetrics) return health(request, std::move(reply), path == kProxyHealth);
  reply->send(
      {.fields = {{"Content-Type", kPrometheus}}, .body = Parts::copy(deps_.metrics.page())});
}

void Pages::health(const net::HttpRequest& request, net::HttpReplyRef reply, bool of_proxy) {
  if (request.method != "GET") {
    net::HttpResponse refused = error(405, "Method Not Allowed");
    refused.fields.push_back({"Allow", "GET"});
    if (take_line(&deps_.lines, kUsualLine)) log::warn("/health error", {{"status-code", 405}});
    return reply->send(std::move(refused));
  }
  if (of_proxy && !deps_.self) return answer_health(std::move(reply), "no connection to proxy");
  Probed done = [this, reply = std::move(reply)](std::string reason) mutable {
    answer_health(std::move(reply), reason);
  };
  of_proxy ? probe_watch(*deps_.self, deps_.lane, std::move(done))
           : probe_read(deps_.client, deps_.prefix, std::move(done));
}

void Pages::answer_health(net::HttpReplyRef reply, const std::string& reason) {
  const bool well = reason.empty();
  const std::string text = cat("{\"health\":\"", well ? "true" : "false",
                               "\",\"reason\":", ctl::json_string(reason), "}");
  (well ? deps_.metrics.health_success : deps_.metrics.health_failures).add();
  if (well) {
    return send(std::move(reply), {.fields = {{"Content-Type", kText}}, .body = Parts::copy(text)});
  }
  if (take_line(&deps_.lines, kUsualLine + text.size())) {
    log::warn("/health error", {{"output", text}, {"status-code", 503}});
  }
  send(std::move(reply), error(503, text));
}

void Pages::cluster_metrics(net::HttpReplyRef reply, bool tls) {
  deps_.lane.post([this, reply = std::move(reply), tls]() mutable {
    const std::string& endpoint = endpoints_[deps_.random.below(endpoints_.size())];
    const bool has_scheme = endpoint.starts_with("http") || endpoint.starts_with("unix");
    absl::StatusOr<net::HttpPlace> place =
        net::HttpPlace::parse(has_scheme ? endpoint : cat(tls ? "https://" : "http://", endpoint));
    if (!place.ok()) return send(std::move(reply), error(500, "Internal server error"));
    net::HttpClientRequest request{.place = *std::move(place), .target = std::string(kMetrics)};
    request.deadlines.whole = std::chrono::seconds(30);
    deps_.http.fetch(
        std::move(request), kLongestPage,
        [this, reply = std::move(reply)](absl::StatusOr<net::HttpClient::Answer> got) mutable {
          if (!got.ok()) {
            if (take_line(&deps_.lines, kUsualLine)) {
              log::warn("cannot get a server's metrics", {{"error", message_of(got.status())}});
            }
            return send(std::move(reply), error(500, "Internal server error"));
          }
          send(std::move(reply), {.fields = {{"Content-Type", "text/plain; version=0.0.4"}},
                                  .body = Parts::copy(got->body)});
        });
  });
}

}  // namespace keelson::proxy
