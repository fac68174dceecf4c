// proxy/keep_alive.h
//
// KeepAliveHub renews leases at the cluster for all clients: those who bring the same token share
// one stream, and who asks for a lease while it is being asked for gets that answer, too. A client
// that asks no more lets its lease end, as without a proxy. (etcd's proxy asks by itself, for as
// long as the client's stream is open and the lease's time has not passed.)
//
// Errors: when a stream to the cluster ends, so do those of the clients who wait for it, with what
//   was said; the others' next request opens a new one. A server that has not answered for
//   kPatience (and at most twice that) is left, with Unavailable.
// Threads: all on the lane, but for the metrics. Lifetime: client, lane, metrics outlive it.
// Bounds: the requests that clients have had no answers to (proxy/client_stream.h).

#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/executor.h"
#include "net/grpc.h"
#include "outbound/rpc_client.h"
#include "proxy/client_stream.h"
#include "proxy/metrics.h"

namespace keelson::proxy {

class KeepAliveGroup;

class KeepAliveHub {
 public:
  using Metadata = std::vector<std::pair<std::string, std::string>>;
  using Client = uint64_t;
  static constexpr Duration kPatience = std::chrono::seconds(5);
  struct Deps {
    outbound::RpcClient& client;
    Executor& lane;
    Metrics& metrics;
  };

  explicit KeepAliveHub(const Deps& deps);
  ~KeepAliveHub();

  Client join(std::shared_ptr<ClientSink> sink, const Metadata& metadata);
  void leave(Client client);
  // The answer is sent to it, with answered(). Of a client that is not there: nothing.
  void renew(Client client, int64_t lease);

 private:
  struct Known {
    std::shared_ptr<KeepAliveGroup> group;  // shared as groups_ says
    std::shared_ptr<ClientSink> sink;       // shared with the stream
  };

  const Deps deps_;
  std::map<Client, Known> clients_;
  Client last_client_ = 0;
  // shared_ptr: streams to the cluster hold them weakly.
  std::map<Metadata, std::shared_ptr<KeepAliveGroup>> groups_;
};

// Lease.LeaseKeepAlive. Threads: on the loops of calls. Lifetime: hub and lane outlive the calls.
class KeepAliveService final : public net::StreamHandler {
 public:
  KeepAliveService(KeepAliveHub& hub, Executor& lane) : hub_(hub), lane_(lane) {}

  void register_on(net::Router& router, const net::MethodOptions& options);
  std::unique_ptr<net::StreamReceiver> on_open(net::CallRef call) override;

 private:
  class Receiver;

  KeepAliveHub& hub_;
  Executor& lane_;
};

}  // namespace keelson::proxy
