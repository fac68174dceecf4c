// proxy/registration.h
//
// Registration is how proxies of one cluster know of each other, so that clients who ask any of
// them for the members hear of all: each keeps a key of its own, with its address, under a lease,
// and watches the keys of the others.
//
// When its lease is lost, it begins anew; when it ends, it gives the lease back.
// Threads: members() on any; the rest on the lane, but for start() and stop(), which go there.
// Lifetime: what it is given outlives it; it is gone once the lane has stopped.
// Source: etcd v3.7.1, server/proxy/grpcproxy/register.go; client/v3/naming/endpoints for the
//   keys and values, which etcd's resolvers read, too.

#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/executor.h"
#include "outbound/rpc_client.h"
#include "proto/rpc.pb.h"
#include "proxy/keep_alive.h"
#include "proxy/key_prefix.h"
#include "proxy/watch_hub.h"

namespace keelson::proxy {

struct RegistrationConfig {
  std::string prefix;
  std::string address;
  std::string name;  // of this machine
  int64_t ttl = 0;   // seconds, > 0
};

class Registration : public std::enable_shared_from_this<Registration> {
 public:
  struct Deps {
    outbound::RpcClient& client;
    Executor& lane;
    WatchHub& watches;
    KeepAliveHub& keep_alives;
    const KeyPrefix& prefix;
  };

  Registration(const Deps& deps, RegistrationConfig config)
      : deps_(deps), config_(std::move(config)) {}

  void start();
  void stop();

  // By key. Empty: none is known.
  std::vector<etcdserverpb::Member> members() const;

 private:
  class LeaseSink;
  class WatchSink;

  void grant();
  void granted(int64_t lease);
  void renew_later(int64_t lease);
  void renewed(int64_t lease, int64_t ttl);
  void begin_anew();

  void lost(uint64_t sight);
  void list();
  void listed(const etcdserverpb::RangeResponse& response);
  void list_later();
  void heard(const etcdserverpb::WatchResponse& response);
  void note(const mvccpb::KeyValue& kv);

  // Asks, and calls `done` on the lane with what was answered, unless it has stopped meanwhile.
  template <typename Response, typename Request, typename Done>
  void ask(std::string path, const Request& request, Done done);

  const Deps deps_;
  const RegistrationConfig config_;
  bool stopped_ = false;
  int64_t lease_ = 0;  // 0: none yet, or no more
  KeepAliveHub::Client keeper_ = 0;
  WatchHub::Client watcher_ = 0;
  uint64_t sight_ = 0;        // of the others: the watch whose end means anything
  mutable std::mutex mutex_;  // of what members() shows, for moments
  std::map<std::string, etcdserverpb::Member> members_;
};

}  // namespace keelson::proxy
