// proxy/leasing_session.h
//
// LeasingSession is the lease under which a proxy's leasing keys stand, and its sight of all of
// them: it has the lease granted and renewed, and tells in order what happens to leasing keys.
//
// How long it is sure: what is held may be answered from until the lease can have run out, counted
//   from when its last renewal was *asked* for, and kMargin less, for clocks that do not go alike
//   and for a leader that was not the last. Time during which the machine stood still counts, if
//   the wall clock knows of it.
// Users: once the cluster has any, it decides who may read, so that nothing may be answered here.
//   A read without a token, once a second, finds out; whether it was refused is known a second
//   after, or, while the cluster cannot be reached, when the lease's time is over at the latest.
// Failure: a lease that is lost, or leasing keys out of sight for so long that their history is
//   compacted, end the session, and a new one begins. So does begin_anew().
// Threads: all on the lane, but for start() and stop(), which go there.
// Lifetime: what it is given outlives it, the owner until stop() has been run.
// Source: etcd v3.7.1, client/v3/concurrency, client/v3/leasing.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "base/executor.h"
#include "outbound/rpc_client.h"
#include "proto/rpc.pb.h"
#include "proxy/keep_alive.h"
#include "proxy/key_prefix.h"
#include "proxy/leasing_keys.h"
#include "proxy/watch_hub.h"

namespace keelson::proxy {

class LeasingSession : public std::enable_shared_from_this<LeasingSession> {
 public:
  static constexpr int64_t kTtl = 60;  // seconds; as of etcd's sessions
  static constexpr Duration kMargin = std::chrono::seconds(5);
  static constexpr Duration kBeat = std::chrono::seconds(1);

  struct Deps {
    outbound::RpcClient& client;
    Executor& lane;
    const Clock& clock;
    WatchHub& watches;
    Metrics& metrics;
    const KeyPrefix& prefix;
    const LeasingKeys& keys;
  };
  class Owner {
   public:
    virtual ~Owner() = default;
    // In the order of the cluster; each once while a session lasts.
    virtual void happened(const mvccpb::Event& event) = 0;
    // Whatever was held is held no more.
    virtual void ended() = 0;
  };

  LeasingSession(const Deps& deps, Owner& owner);

  void start();
  void stop();
  void begin_anew();

  // 0: there is none.
  int64_t lease() const { return lease_; }
  // The last that was, if it is over.
  bool has_ended(int64_t lease) const { return ended_ != 0 && lease == ended_; }
  bool sure() const;

 private:
  class LeaseSink;
  class WatchSink;
  // A moment by both clocks.
  struct Moment {
    MonotonicTime at;
    Duration wall;
  };
  Moment now() const { return {deps_.clock.now(), deps_.clock.unix_time()}; }

  void beat();
  void look_for_users();
  void grant();
  void granted(const etcdserverpb::LeaseGrantResponse& response, const Moment& asked);
  void trust(const Moment& asked, int64_t ttl);
  void renew();
  void renewed(int64_t lease, int64_t ttl);
  void end();

  void watch();
  void heard(const etcdserverpb::WatchResponse& response);
  void lost_sight();

  const Deps deps_;
  Owner* owner_;              // null: stopped
  KeepAliveHub keep_alives_;  // its own, so that no answer is to somebody else's earlier question
  KeepAliveHub::Client keeper_ = 0;
  bool granting_ = false;
  int64_t lease_ = 0;
  int64_t ended_ = 0;            // the last before, != lease_; 0: none
  int64_t ttl_ = 0;              // seconds, as granted
  Moment until_ = {};            // see sure()
  std::optional<Moment> asked_;  // when a renewal was, that has not been answered
  MonotonicTime next_renewal_;
  bool users_ = true;  // there may be
  bool looking_ = false;
  WatchHub::Client watcher_ = 0;
  uint64_t sight_ = 0;  // the watch whose news mean anything
  bool watching_ = false;
  int64_t next_ = 0;  // the revision of the next event to hear of
};

}  // namespace keelson::proxy
