// proxy/services.h
//
// The services of the gRPC proxy that go on to the cluster as they are: leases but for keep-alives,
// members, maintenance, users, locks, elections. What differs: keys of leases stand without the
// namespace, and the members that are named are the proxies, whom clients should speak to, if this
// one is told where it is reached. Locks and elections know of no namespace, as in etcd.
//
// Threads: on the loops of calls. Lifetime: client, prefix and members outlive it, and it the
// calls. Source: etcd v3.7.1, server/proxy/grpcproxy. There MemberPromote is not implemented.

#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "net/grpc.h"
#include "outbound/rpc_client.h"
#include "proto/rpc.pb.h"
#include "proxy/key_prefix.h"

namespace keelson::proxy {

class Services {
 public:
  // Nothing: the cluster's are named. Any thread.
  using Members = std::function<std::vector<etcdserverpb::Member>()>;

  Services(outbound::RpcClient& client, const KeyPrefix& prefix, Members members);
  ~Services();

  void register_on(net::Router& router, const net::MethodOptions& options);

 private:
  class TimeToLive;
  class MemberList;

  outbound::RpcClient& client_;
  const KeyPrefix& prefix_;
  const Members members_;
  std::vector<std::unique_ptr<net::UnaryHandler>> unary_;
  std::vector<std::unique_ptr<net::StreamHandler>> streams_;
};

}  // namespace keelson::proxy
