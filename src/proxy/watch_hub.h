// proxy/watch_hub.h
//
// WatchHub has the cluster watch each range once for all clients who watch it. Clients who bring
// the same token (and ask alike that there be a leader) share one stream to the cluster; on it
// stands one watch, a Broadcast, for those of their watchers that want the same keys and have come
// equally far. A watcher that begins in the past, or now, gets a watch of its own first, which
// ends when it has caught up with one that is there.
//
// Permissions are the cluster's affair: what a token may watch is found out with that token.
// Order: a watcher gets each event from its revision on once, in order, transactions whole, also
//   over the loss of a server: a lost stream is opened anew, behind the last event.
// A client that does not read is no queue: once kMostUnread bytes wait for it, its watchers are
//   taken out, and put back, at their revisions, when it has read.
// Errors: if no server can be had for kPatience, or says that it has no leader, clients' streams
//   end with what was said.
// Threads: all on the lane, but for the metrics.
// Lifetime: client, lane, prefix and metrics outlive it; sinks are dropped behind end() or leave().
// Bounds: the requests that clients have had no answers to (proxy/client_stream.h). What waits to
//   go to the cluster is a number for each watch that is wanted there, or is there and is not: one
//   whose clients went before is never asked for. One message on its way from it for each stream.
// Source: etcd v3.7.1, server/proxy/grpcproxy (watch*.go), which shares watches of whatever token,
//   may lose events of a watcher that catches up, and does not know of progress requests.

#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/executor.h"
#include "outbound/rpc_client.h"
#include "proxy/client_stream.h"
#include "proxy/key_prefix.h"
#include "proxy/metrics.h"
#include "proxy/watch_messages.h"

namespace keelson::proxy {

class WatchGroup;
struct GroupClient;

class WatchHub {
 public:
  static constexpr size_t kMostUnread = size_t{4} << 20;
  static constexpr Duration kPatience = std::chrono::seconds(5);

  struct Deps {
    outbound::RpcClient& client;
    Executor& lane;
    const Clock& clock;
    const KeyPrefix& prefix;
    Metrics& metrics;
  };
  using Metadata = std::vector<std::pair<std::string, std::string>>;
  using Client = uint64_t;

  explicit WatchHub(const Deps& deps);
  ~WatchHub();

  // A new stream, whose calls are made with `metadata`.
  Client join(std::shared_ptr<ClientSink> sink, const Metadata& metadata);
  // The stream is over. Of a client that is not there: nothing, as for the rest.
  void leave(Client client);

  void create(Client client, WatchWish wish);
  void cancel(Client client, int64_t id);
  void ask_progress(Client client);

 private:
  struct Known {
    std::shared_ptr<WatchGroup> group;  // shared as groups_ says
    GroupClient* client = nullptr;      // the group's
  };
  Known* find(Client client);

  const Deps deps_;
  std::map<Client, Known> clients_;
  Client last_client_ = 0;
  // shared_ptr: streams to the cluster and timers hold them weakly.
  std::map<Metadata, std::shared_ptr<WatchGroup>> groups_;
};

}  // namespace keelson::proxy
