// proxy/tcp_gateway.h
//
// TcpGateway is all of `keelson gateway start`: finds the endpoints, listens, and leads whoever
// connects to one of them, byte for byte, until it is stopped. It knows nothing of what is said
// there, so TLS is between the client and the server.
//
// Threads: start(), stop() and the destructor on one that is no lane.
// Bounds: as many clients as the limit of file descriptors has pairs, and no more than 131072;
//   whoever wants in then waits in the kernel's queue.

#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/executor.h"
#include "outbound/srv.h"
#include "proxy/discovery.h"

namespace keelson::proxy {

struct TcpGatewayConfig {
  std::string listen_address = "127.0.0.1:23790";
  std::vector<std::string> endpoints = {"127.0.0.1:2379"};  // if none are discovered
  Discovery discovery;
  Duration retry_delay = std::chrono::minutes(1);  // 0: five of them, as in etcd
};

class TcpGateway {
 public:
  // Errors: InvalidArgument for what it was told, in etcd's words; others for what the network
  // refuses.
  static absl::StatusOr<std::unique_ptr<TcpGateway>> start(
      TcpGatewayConfig config, const outbound::NameServer& name_server = std::nullopt);
  // As stop() without time.
  ~TcpGateway();

  // Where it listens.
  const std::string& address() const;
  size_t clients() const;
  // For a watchdog; they turn until stop().
  std::vector<Executor*> lanes() const;

  // Accepts nobody any more, has what was read written within `time`, tells both sides of each
  // connection that it is over, and cuts whoever is left. A second call does nothing.
  void stop(Duration time);

 private:
  struct Parts;
  explicit TcpGateway(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace keelson::proxy
