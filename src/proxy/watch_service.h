// proxy/watch_service.h
//
// The Watch service of the gRPC proxy: what clients ask goes to the hub (proxy/watch_hub.h).
//
// Threads: on the loops of calls. Lifetime: hub, lane and prefix outlive the calls.

#pragma once

#include <memory>

#include "net/grpc.h"
#include "proxy/watch_hub.h"

namespace keelson::proxy {

class WatchService final : public net::StreamHandler {
 public:
  WatchService(WatchHub& hub, Executor& lane, const KeyPrefix& prefix)
      : hub_(hub), lane_(lane), prefix_(prefix) {}

  void register_on(net::Router& router, const net::MethodOptions& options);
  std::unique_ptr<net::StreamReceiver> on_open(net::CallRef call) override;

 private:
  class Receiver;

  WatchHub& hub_;
  Executor& lane_;
  const KeyPrefix& prefix_;
};

}  // namespace keelson::proxy
