// server/peer_answers.h
//
// PeerAnswers answers what other members ask of this one: its io lanes do it, as they do for
// clients.
//
// Threads: as peer/local_answers.h.
// Lifetime: node, context and hashes outlive it; what is under way when the lanes stop is not
//   answered.

#pragma once

#include "peer/local_answers.h"
#include "rpc/context.h"
#include "rpc/lease_keeper.h"
#include "rpc/reconfiguration.h"
#include "server/store_hashes.h"

namespace keelson::server {

class PeerAnswers final : public peer::LocalAnswers {
 public:
  PeerAnswers(rpc::Context& context, StoreHashes& hashes);

  std::string cluster_version() override;
  std::string storage_version() override;
  void promote(MemberId member, std::string token,
               peer::Done<std::vector<membership::Member>> done) override;
  void renew_lease(LeaseId lease, peer::Done<int64_t> done) override;
  void lease_times(LeaseId lease, bool keys, peer::Done<peer::LeaseTimes> done) override;
  void hash_kv(int64_t revision, peer::Done<peer::HashAnswer> done) override;
  void downgrade_enabled(peer::Done<bool> done) override;

 private:
  // Runs `task` on an io lane.
  void on_lane(absl::AnyInvocable<void(rpc::Lane&)> task);
  void tell_times(rpc::LeaseTimes times, peer::Done<peer::LeaseTimes> done);

  rpc::Context& context_;
  rpc::LeaseKeeper keeper_;
  rpc::Reconfiguration changes_;
  StoreHashes& hashes_;
};

}  // namespace keelson::server
