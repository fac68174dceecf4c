// proxy/pages.h
//
// The gRPC proxy's pages: /metrics of a server of the cluster, /health of the cluster, and
// /proxy/metrics and /proxy/health of the proxy.
//
// Threads: handle() on the listener's loops; pages of others are had on the lane.
// Lifetime: what it is given outlives it, and it the listener.
// Source: etcd v3.7.1, server/proxy/grpcproxy (metrics.go, health.go).

#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/line_budget.h"
#include "base/random.h"
#include "net/grpc.h"
#include "net/http.h"
#include "net/http_client.h"
#include "net/loop.h"
#include "outbound/rpc_client.h"
#include "proxy/key_prefix.h"
#include "proxy/metrics.h"

namespace keelson::proxy {

class Pages final : public net::HttpHandler {
 public:
  struct Deps {
    outbound::RpcClient& client;
    outbound::RpcClient* self;  // where clients find the proxy; null: nobody says
    const KeyPrefix& prefix;
    Metrics& metrics;
    LineBudget& lines;  // of what clients who ask for pages have the log say
    net::Loop& lane;
    net::HttpClient& http;  // the lane's
    Random& random;         // the lane's
  };

  // Of the endpoints one is asked for its metrics, each time anew.
  Pages(const Deps& deps, std::vector<std::string> endpoints)
      : deps_(deps), endpoints_(std::move(endpoints)) {}

  void add_to(net::Router& router);
  void handle(net::HttpRequest request, net::HttpReplyRef reply) override;

 private:
  void health(const net::HttpRequest& request, net::HttpReplyRef reply, bool of_proxy);
  void answer_health(net::HttpReplyRef reply, const std::string& reason);
  void cluster_metrics(net::HttpReplyRef reply, bool tls);

  const Deps deps_;
  const std::vector<std::string> endpoints_;
};

}  // namespace keelson::proxy
