// http/grpc_metrics.h
//
// The grpc_server_* metrics: calls started and handled, messages received and sent, by method and
// status code, and (with --metrics=extensive) how long calls took. Names, labels and buckets are
// go-grpc-prometheus's, which every etcd dashboard reads; all methods stand at zero from the start.
//
// Threads: counting from any; see instruments.h for what an update costs.
// Use: look the method up once per call (or once per handler table), then count with its number.

#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "http/instruments.h"

namespace keelson::http {

class Families;

// grpc_type of go-grpc-prometheus.
enum class CallType { kUnary, kClientStream, kServerStream, kBidiStream };
std::string_view call_type_label(CallType type);

struct GrpcMethod {
  std::string_view service;  // "etcdserverpb.KV"
  std::string_view method;   // "Range"
  CallType type;
};

// Every RPC of the contract and grpc.health.v1.Health, in the order of their numbers.
std::span<const GrpcMethod> grpc_methods();

class GrpcMetrics {
 public:
  using Method = uint32_t;  // position in grpc_methods()
  static constexpr int kCodes = 17;

  // `handling_time` adds grpc_server_handling_seconds.
  explicit GrpcMetrics(bool handling_time);

  // By the HTTP/2 path ("/etcdserverpb.KV/Range"); nothing for a path that names no method.
  std::optional<Method> find(std::string_view path) const;

  void started(Method m) { cells_.add(cell(m, kStarted), 1); }
  void received(Method m) { cells_.add(cell(m, kReceived), 1); }
  void sent(Method m) { cells_.add(cell(m, kSent), 1); }
  // `code` is the gRPC status number; one outside 0..16 counts as Unknown.
  void handled(Method m, int code, Duration took);

  // Appends the families to what a scrape shows.
  void collect(Families& out) const;

 private:
  enum Column : size_t { kStarted, kReceived, kSent, kHandled, kColumns = kHandled + kCodes };
  static size_t cell(Method m, size_t column) { return m * kColumns + column; }

  Cells cells_;
  std::vector<std::unique_ptr<Histogram>> handling_;  // by method; empty unless extensive
};

// gRPC's name of a status code as go-grpc-prometheus writes it: "OK", "Canceled", …
std::string_view grpc_code_label(int code);

}  // namespace keelson::http
