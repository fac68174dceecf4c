// sim/stores.h
//
// What a simulated member keeps its state on: one store, and what snapshots bring beside it, until
// the next start decides. Every commit is shown to the oracle.
//
// Threads: one. Lifetime: survives the processes; a store that an open backend stands on stays
// until the next open().

#pragma once

#include <memory>
#include <vector>

#include "node/test_member.h"
#include "sim/oracle.h"

namespace keelson::sim {

class Stores final : public node::TestStore {
 public:
  explicit Stores(Oracle& oracle) : oracle_(oracle) {
    disks_.push_back(std::make_unique<backend::MemoryBackend>());
  }
  // Whose log says which store counts. Before the first open().
  void belongs_to(const node::RecoveryOptions& options) { options_ = options; }

  absl::StatusOr<std::unique_ptr<backend::Backend>> open() override;
  void kill(bool keep) override;
  void lose_power() override;
  void break_something(Random& random) override {}
  void mend() override;

  // Writes stay in memory until be_prompt() or mend(), or while the process lives.
  void be_slow();
  void be_prompt();
  // Reads find damage after the next few, until mend().
  void be_damaged(Random& random);

  // A copy of `from`, durable.
  absl::StatusOr<std::shared_ptr<backend::Backend>> add(const backend::Snapshot& from);

 private:
  Oracle& oracle_;
  node::RecoveryOptions options_;
  std::vector<std::unique_ptr<backend::MemoryBackend>> disks_;
};

}  // namespace keelson::sim
