// rpc/services.h
//
// All gRPC services of the client port.
//
// Lifetime: outlives the listener; the Context outlives it.

#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "net/grpc.h"
#include "rpc/context.h"

namespace keelson::rpc {

class Health;

// What Maintenance.Status says that the node does not know.
struct StatusFacts {
  std::string version;  // the compatibility level, "3.7.1"
  int64_t quota_bytes = 0;
};

// What the Cluster service needs of the rooms above.
struct ClusterFacts {
  // The URLs of a member, checked and sorted by the rules of flags.
  std::function<absl::StatusOr<std::vector<std::string>>(const std::vector<std::string>&)>
      parse_urls;
};

// What the store is said to be a store of: the cluster's version, as with etcd, whose members
// change their stores when that changes.
std::string storage_version(node::Node& node);

class Services {
 public:
  Services(Context& context, StatusFacts facts, ClusterFacts cluster);
  ~Services();

  // Registers every method of the contract. Once, before the listener starts.
  void register_on(net::Router& router);

  // False: grpc.health.v1.Health says NOT_SERVING from now on, and waits for locks end.
  void set_serving(bool serving);

  struct Handlers;

 private:
  Context& context_;
  const StatusFacts facts_;
  const ClusterFacts cluster_;
  std::unique_ptr<Handlers> handlers_;
};

// The makers of the single services, one file each. `max` is the longest message taken.
std::vector<std::unique_ptr<net::UnaryHandler>> register_kv(Context&, net::Router&,
                                                            net::MethodOptions max);
std::unique_ptr<net::StreamHandler> register_range_stream(Context&, net::Router&,
                                                          net::MethodOptions max);
std::unique_ptr<net::StreamHandler> register_watch(Context&, net::Router&, net::MethodOptions max);
std::vector<std::unique_ptr<net::UnaryHandler>> register_auth(Context&, net::Router&,
                                                              net::MethodOptions max);
std::vector<std::unique_ptr<net::UnaryHandler>> register_lease(Context&, net::Router&,
                                                               net::MethodOptions max);
std::unique_ptr<net::StreamHandler> register_keep_alive(Context&, net::Router&,
                                                        net::MethodOptions max);
// `health` outlives the handlers.
std::vector<std::unique_ptr<net::UnaryHandler>> register_maintenance(Context&, net::Router&,
                                                                     net::MethodOptions max,
                                                                     StatusFacts facts,
                                                                     Health& health);
std::unique_ptr<net::StreamHandler> register_snapshot(Context&, net::Router&,
                                                      net::MethodOptions max);
std::vector<std::unique_ptr<net::UnaryHandler>> register_lock(Context&, net::Router&,
                                                              net::MethodOptions max);
std::vector<std::unique_ptr<net::UnaryHandler>> register_election(Context&, net::Router&,
                                                                  net::MethodOptions max);
std::unique_ptr<net::StreamHandler> register_observe(Context&, net::Router&,
                                                     net::MethodOptions max);
// `facts` outlives the handlers.
std::vector<std::unique_ptr<net::UnaryHandler>> register_cluster(Context&, net::Router&,
                                                                 net::MethodOptions max,
                                                                 const ClusterFacts& facts);

}  // namespace keelson::rpc
