// sim/stores.h
//
// What a simulated member keeps its state on: one store, and what snapshots bring beside it, until
// the next start decides.
//
// Threads: one. Lifetime: survives the processes; a store that an open backend stands on stays
// until the next open().

#pragma once

#include <memory>
#include <vector>

#include "node/test_member.h"

namespace keelson::sim {

class Stores final : public node::TestStore {
 public:
  Stores() { disks_.push_back(std::make_unique<backend::MemoryBackend>()); }
  // Whose log says which store counts. Before the first open().
  void belongs_to(const node::RecoveryOptions& options) { options_ = options; }

  absl::StatusOr<std::unique_ptr<backend::Backend>> open() override;
  void kill(bool keep) override;
  void lose_power() override;
  void break_something(Random& random) override {}
  void mend() override {}

  // A copy of `from`, durable.
  absl::StatusOr<std::shared_ptr<backend::Backend>> add(const backend::Snapshot& from);
  size_t count() const { return disks_.size(); }

 private:
  node::RecoveryOptions options_;
  std::vector<std::unique_ptr<backend::MemoryBackend>> disks_;
};

}  // namespace keelson::sim
