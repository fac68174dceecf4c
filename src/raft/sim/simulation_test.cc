// Simulated groups of members from seeds; what a seed means is World's business.

#include <gtest/gtest.h>

#include "base/test_seeds.h"
#include "raft/sim/runner.h"

namespace keelson::raft::sim {
namespace {

TEST(RaftSimulation, NoSeedBreaksAPromise) {
  for_each_seed(10'000, [](uint64_t seed) {
    Totals totals;
    const std::optional<Failure> failure = run_seed(sim::Run{}, seed, &totals);
    if (!failure) return;
    ADD_FAILURE() << "at step " << failure->step << ": " << failure->what
                  << "\nevery step: build/bin/raft_simulator --start " << seed
                  << " --seeds 1 --trace";
  });
}

}  // namespace
}  // namespace keelson::raft::sim
