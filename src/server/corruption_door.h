// server/corruption_door.h
//
// CorruptionDoor shows the running member and its cluster to the checks
// (server/corruption_checks.h), on the first io lane.
//
// Threads: that lane. Lifetime: context, peering and hashes outlive it.

#pragma once

#include <vector>

#include "rpc/context.h"
#include "server/corruption_checks.h"
#include "server/peering.h"
#include "server/store_hashes.h"

namespace keelson::server {

class CorruptionDoor final : public CorruptionChecks::Cluster {
 public:
  CorruptionDoor(rpc::Context& context, Peering& peering, StoreHashes& hashes)
      : context_(context), peering_(peering), hashes_(hashes) {}

  MemberId self() const override { return context_.node().member(); }
  std::optional<Term> leads() const override;
  void hash(Done<absl::StatusOr<mvcc::KvHash>> done) override;
  std::vector<mvcc::KvHash> compaction_hashes() const override {
    return context_.node().store().compaction_hashes();
  }
  void ask_others(int64_t revision, Done<std::vector<PeerHash>> done) override;
  void confirm(Done<absl::Status> done) override;
  void raise_alarm(Term term, MemberId member) override;

 private:
  rpc::Lane& lane() const { return *context_.lanes().front(); }

  rpc::Context& context_;
  Peering& peering_;
  StoreHashes& hashes_;
};

}  // namespace keelson::server
