// http/endpoint.h
//
// Puts the handlers and the gRPC counters onto a listener.
//
// Threads: called on the listener's loops. Lifetime: outlive the listener.

#pragma once

#include <string>
#include <vector>

#include "base/clock.h"
#include "base/line_budget.h"
#include "http/front_door.h"
#include "http/handlers.h"
#include "http/metrics.h"
#include "net/grpc.h"
#include "net/http.h"
#include "wire/internal_request.h"

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

// The kind of the requests of a method that can be described (apply/request_text.h), or kNone.
wire::InternalKind described_kind(const net::MethodInfo& method);

// Counts calls for grpc_server_* and bytes for etcd_network_client_grpc_*.
// Threads: bind() before the listener starts.
class GrpcObserver final : public net::CallObserver {
 public:
  // A unary call that takes longer than `slow` gets etcd's warning "request stats", and every one
  // its debug line. Of warnings there are as many as `lines` lets out; null: all of them. `clock`
  // is the system's; all of them outlive it.
  GrpcObserver(Metrics& metrics, const Clock& clock, LineBudget* lines = nullptr,
               Duration slow = std::chrono::milliseconds(300))
      : metrics_(metrics), clock_(clock), lines_(lines), slow_(slow) {}

  // Learns which of the router's methods is which. A method that is none of etcd's is not counted.
  void bind(const net::Router& router);

  void call_started(const net::ServerCall& call) override;
  void message_received(const net::ServerCall& call, const Bytes& message) override;
  void message_sent(const net::ServerCall& call, const net::MessageParts& message) override;
  void call_finished(const net::ServerCall& call, const net::CallSummary& summary) override;

 private:
  struct Known {
    std::optional<GrpcMetrics::Method> method;
    wire::InternalKind kind;  // of the requests that can be described; kNone: of no kind
  };
  Known known(const net::ServerCall& call) const;
  void log_request(const net::ServerCall& call, const net::CallSummary& summary,
                   wire::InternalKind kind) const;
  void count_broken(const net::MethodInfo& method, absl::StatusCode code);

  Metrics& metrics_;
  const Clock& clock_;
  LineBudget* const lines_;
  const Duration slow_;
  std::vector<Known> methods_;  // by MethodInfo::index
};

}  // namespace keelson::http
