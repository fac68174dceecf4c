// proxy/metrics.h
//
// What the gRPC proxy counts: etcd's etcd_grpc_proxy_*, the calls of its clients (grpc_server_*),
// the process.
//
// Threads: any. Lifetime: outlives whoever counts.
// Source: etcd v3.7.1, server/proxy/grpcproxy/metrics.go.

#pragma once

#include <string>
#include <vector>

#include "http/grpc_metrics.h"
#include "http/instruments.h"
#include "net/grpc.h"

namespace keelson::proxy {

struct Metrics {
  http::GrpcMetrics grpc{false};
  http::Gauge watchers_coalescing;  // that use what another watcher of theirs asked for
  http::Counter events_coalescing;  // answers that needed no other from the cluster
  http::Gauge cache_keys;
  http::Counter cache_hits, cache_misses;
  http::Counter keep_alives_coalescing;  // ours: that were answered with another's
  http::Gauge leasing_keys;              // ours: keys that are held
  http::Counter leasing_hits, leasing_revocations;
  http::Counter health_success, health_failures;

  // In Prometheus' text format.
  std::string page() const;
};

// Counts a listener's calls. Threads: bind() before the listener starts.
class CallCounter final : public net::CallObserver {
 public:
  explicit CallCounter(Metrics& metrics) : metrics_(metrics) {}
  void bind(const net::Router& router);
  // Each call's beginning and end go to the log, too.
  void log_calls() { log_ = true; }

  void call_started(const net::ServerCall& call) override;
  void message_received(const net::ServerCall& call, const Bytes& message) override;
  void message_sent(const net::ServerCall& call, const net::MessageParts& message) override;
  void call_finished(const net::ServerCall& call, const net::CallSummary& summary) override;

 private:
  std::optional<http::GrpcMetrics::Method> method(const net::ServerCall& call) const;

  Metrics& metrics_;
  std::vector<std::optional<http::GrpcMetrics::Method>> methods_;  // by MethodInfo::index
  bool log_ = false;
};

}  // namespace keelson::proxy
