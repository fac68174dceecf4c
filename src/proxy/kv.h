// proxy/kv.h
//
// The KV service of the gRPC proxy: requests go on to the cluster, within the namespace if there is
// one, and answers to ranges are kept for serializable reads (proxy/range_cache.h). With leasing
// (proxy/leasing.h), reads may be answered by it, and writes go by it.
//
// Threads: handlers run on the loops of calls; the cache is on the lane given. What writes is
//   answered by way of that lane, behind what it puts out of the cache.
// Lifetime: client, lane, leasing and metrics outlive it, and it the listener and the calls.
// Order: as the cluster has it; a serializable read may see an older state than one before it, as
//   that was answered by another member, unless Options::ordered.
// Source: etcd v3.7.1, server/proxy/grpcproxy/kv.go. There RangeStream is not implemented, either.

#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/executor.h"
#include "net/grpc.h"
#include "outbound/rpc_client.h"
#include "proxy/key_prefix.h"
#include "proxy/leasing.h"
#include "proxy/metrics.h"
#include "proxy/range_cache.h"

namespace keelson::proxy {

class Kv {
 public:
  struct Deps {
    outbound::RpcClient& client;
    Executor& lane;
    const KeyPrefix& prefix;
    Metrics& metrics;
    Leasing* leasing = nullptr;  // null: there is none
  };

  struct Options {
    RangeCache::Limits cache = {};
    // No serializable read sees an older state than any answer before it: one that would is asked
    // again, of the servers in turn, `tries` times.
    bool ordered = false;
    int tries = 5;
  };

  Kv(const Deps& deps, const Options& options);
  ~Kv();

  void register_on(net::Router& router, const net::MethodOptions& options);

 private:
  class Range;
  class Compact;
  class RangeStream;

  // On the lane: puts these out, and then answers.
  void written(net::CallRef call, std::vector<KeySpan> keys, absl::StatusOr<Parts> answered);
  void show_cache() { deps_.metrics.cache_keys.set(static_cast<int64_t>(cache_.entries())); }

  // An answer of that revision has been had.
  void saw(int64_t revision);

  const Deps deps_;
  const Options options_;
  std::atomic<int64_t> newest_{0};  // of all answers
  RangeCache cache_;                // the lane's
  // Answers on their way to it; those beyond a bound are not kept.
  std::atomic<size_t> coming_{0};
  std::vector<std::unique_ptr<net::UnaryHandler>> handlers_;
  std::unique_ptr<net::StreamHandler> range_stream_;
};

}  // namespace keelson::proxy
