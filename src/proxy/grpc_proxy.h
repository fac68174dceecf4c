// proxy/grpc_proxy.h
//
// GrpcProxy is all of `keelson grpc-proxy start`: a server of etcd's API that asks a cluster, and
// asks it once where many clients ask alike (docs/decisions/0019-the-grpc-proxy.md).
//
// Threads: start(), stop() and the destructor on one that is no lane.
// Errors: InvalidArgument for what it was told; others for what the network or the files refuse.

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/executor.h"
#include "net/tls/settings.h"
#include "outbound/rpc_client.h"
#include "outbound/srv.h"
#include "proxy/discovery.h"

namespace keelson::proxy {

struct GrpcProxyConfig {
  std::string listen_address = "127.0.0.1:23790";
  std::string metrics_url;                                  // empty: none but the port above
  std::vector<std::string> endpoints = {"127.0.0.1:2379"};  // if none are discovered
  Discovery discovery;
  Duration endpoints_sync{0};  // how often the cluster is asked who its members are; 0: never

  // Towards the cluster.
  outbound::ChannelOptions channel;
  size_t max_send_bytes = 1536 * 1024;  // 0: no limit

  // Towards clients.
  net::TlsSettings tls;
  bool auto_tls = false;
  uint64_t self_signed_years = 1;
  std::string data_dir = "default.proxy";
  Duration keepalive_min_time = std::chrono::seconds(5);
  Duration keepalive_interval = std::chrono::hours(2);
  Duration keepalive_timeout = std::chrono::seconds(20);
  uint32_t max_concurrent_streams = UINT32_MAX;
  bool pprof = false;
  bool log_calls = false;

  std::string advertise_url = "127.0.0.1:23790";
  std::string name_space;
  std::string resolver_prefix;  // empty: the proxy tells nobody of itself
  int64_t resolver_ttl = 0;     // seconds; > 0 with a prefix
  bool serializable_ordering = false;
  std::string leasing_prefix;  // empty: no leasing
};

class GrpcProxy {
 public:
  static absl::StatusOr<std::unique_ptr<GrpcProxy>> start(
      GrpcProxyConfig config, const outbound::NameServer& name_server = std::nullopt);
  // As stop() without time.
  ~GrpcProxy();

  // Where it listens.
  const std::string& address() const;
  // For a watchdog; they turn until stop().
  std::vector<Executor*> lanes() const;

  // Takes no new clients, lets calls end within `time`, and cuts what is left. A second call does
  // nothing.
  void stop(Duration time);

 private:
  struct Parts;
  explicit GrpcProxy(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace keelson::proxy
