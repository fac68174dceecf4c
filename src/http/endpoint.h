// http/endpoint.h
//
// Puts the handlers and the gRPC counters onto a listener.
//
// Threads: called on the listener's loops. Lifetime: outlive the listener.

#pragma once

#include <string>
#include <vector>

#include "http/front_door.h"
#include "http/handlers.h"
#include "http/metrics.h"
#include "net/grpc.h"
#include "net/http.h"

namespace keelson::http {

class Endpoint final : public net::HttpHandler {
 public:
  // `door` outlives it.
  Endpoint(Handlers& handlers, const FrontDoor& door);

  // Registers every path of the client port, or only those of --listen-metrics-urls.
  void add_to(net::Router& router, bool everything);

  void handle(net::HttpRequest request, net::HttpReplyRef reply) override;

 private:
  Handlers& handlers_;
  const FrontDoor& door_;
};

// Counts calls for grpc_server_* and bytes for etcd_network_client_grpc_*.
// Threads: bind() before the listener starts.
class GrpcObserver final : public net::CallObserver {
 public:
  // A unary call that takes longer than `slow` gets etcd's warning "request stats", and every one
  // its debug line.
  explicit GrpcObserver(Metrics& metrics, Duration slow = std::chrono::milliseconds(300))
      : metrics_(metrics), slow_(slow) {}

  // Learns which of the router's methods is which. A method that is none of etcd's is not counted.
  void bind(const net::Router& router);

  void call_started(int loop, const net::MethodInfo& method) override;
  void message_received(int loop, const net::MethodInfo& method, size_t bytes) override;
  void message_sent(int loop, const net::MethodInfo& method, size_t bytes) override;
  void call_finished(int loop, const net::MethodInfo& method,
                     const net::CallSummary& summary) override;

 private:
  std::optional<GrpcMetrics::Method> known(const net::MethodInfo& method) const;
  void log_request(const net::MethodInfo& method, const net::CallSummary& summary) const;
  void count_broken(const net::MethodInfo& method, absl::StatusCode code);

  Metrics& metrics_;
  const Duration slow_;
  std::vector<std::optional<GrpcMetrics::Method>> methods_;  // by MethodInfo::index
};

}  // namespace keelson::http
