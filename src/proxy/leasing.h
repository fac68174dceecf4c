// proxy/leasing.h
//
// Leasing is --experimental-leasing-prefix: linearizable reads of keys that this proxy holds are
// answered here, and whoever writes, through this proxy or another with the same prefix, makes the
// holder give them up first (proxy/leasing_keys.h has how they agree).
//
// What it takes: that nobody writes such keys but through leasing. Who goes to the cluster himself
//   is not seen by a holder.
// What is answered here: plain reads of one key, and transactions of nothing but such reads and of
//   comparisons, all of keys whose values are known (proxy/holdings.h), while the session is sure
//   (proxy/leasing_session.h). The header has the newest revision that the proxy has seen: that of
//   no answer goes back. A plain read of a key that nobody holds takes it; if that fails, for
//   whatever reason, it is a read like any other. All else goes on to the cluster.
// Order: a holder's value is what the cluster has at that moment, as nobody can write it meanwhile.
// Threads: all on the lane, but for start() and stop(). Bounds: those of Holdings; kMostGiving keys
//   are given up at a time.
// Lifetime: what it is given outlives it; it is gone once the lane has stopped.
// Source: etcd v3.7.1, client/v3/leasing. There a write whose outcome is not known may be read
//   before; keys of users' leases are read after they have gone; who may read is not asked.

#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/executor.h"
#include "outbound/rpc_client.h"
#include "proxy/guarded_write.h"
#include "proxy/holdings.h"
#include "proxy/key_prefix.h"
#include "proxy/leasing_session.h"
#include "proxy/metrics.h"
#include "proxy/watch_hub.h"

namespace keelson::proxy {

class Leasing final : private LeasingSession::Owner, private GuardedWrite::Host {
 public:
  static constexpr size_t kMostGiving = 64;

  struct Deps {
    outbound::RpcClient& client;
    Executor& lane;
    const Clock& clock;
    WatchHub& watches;
    const KeyPrefix& prefix;
    Metrics& metrics;
  };

  // REQUIRES: a prefix.
  Leasing(const Deps& deps, std::string prefix, const Holdings::Limits& limits);
  ~Leasing() override;

  void start();
  // Gives all back.
  void stop();

  const LeasingKeys& keys() const { return keys_; }

  // Nothing: that is for the cluster. `newest`: of all answers to clients.
  std::optional<Parts> find(const etcdserverpb::RangeRequest& request, int64_t newest);
  std::optional<Parts> find(const etcdserverpb::TxnRequest& request, int64_t newest);

  // Reads it, and takes it. False: that is for the cluster, as is what `done`, called once, on the
  // lane, gets nothing for.
  using Read = absl::AnyInvocable<void(std::optional<Parts>)>;
  bool acquire(const etcdserverpb::RangeRequest& request, Read done);

  void write(std::shared_ptr<LeasedCall> call, GuardedForm form, GuardedWrite::Done done);

  const Holdings& holdings() const { return holdings_; }
  bool has_session() const { return session_->sure(); }

 private:
  void acquired(const etcdserverpb::RangeRequest& request, int64_t lease,
                absl::StatusOr<etcdserverpb::TxnResponse> response, Read done);
  std::string header_at(int64_t newest) const;

  void give_up_next();
  void gave_up(const Holdings::ToGive& given, int64_t lease,
               const absl::StatusOr<etcdserverpb::TxnResponse>& response);

  // Of the session.
  void happened(const mvccpb::Event& event) override;
  void ended() override;

  // Of writes.
  int64_t lease() const override { return session_->lease(); }
  bool has_ended(int64_t lease) const override { return session_->has_ended(lease); }
  void give_up_soon() override { give_up_next(); }
  void wait_for(const std::string& key, const std::shared_ptr<GuardedWrite>& write) override;
  void wait_no_more(const std::string& key, const GuardedWrite* write) override;
  void revoked_another() override { deps_.metrics.leasing_revocations.add(); }

  template <typename Done>
  void ask(etcdserverpb::TxnRequest request, Done done);
  void show() { deps_.metrics.leasing_keys.set(static_cast<int64_t>(holdings_.held())); }

  const Deps deps_;
  const LeasingKeys keys_;
  Holdings holdings_;
  // Shared with what it has under way.
  const std::shared_ptr<LeasingSession> session_;
  etcdserverpb::ResponseHeader header_;  // the newest of our own
  size_t giving_ = 0;                    // <= kMostGiving
  // Who waits for which key; each is told, and takes itself out.
  std::map<std::pair<std::string, const GuardedWrite*>, std::weak_ptr<GuardedWrite>> waiting_;
};

}  // namespace keelson::proxy
