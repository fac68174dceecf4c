// Simulated clusters from seeds, with everything failing that can; afterwards they serve again, and
// all members hold the same.

#include <gtest/gtest.h>

#include <iostream>

#include "base/test_seeds.h"
#include "sim/trial.h"

namespace keelson::sim {
namespace {

TEST(Simulation, ClustersKeepWhatTheyAcknowledged) {
  log::QuietLog quiet;
  uint64_t runs = 0, acknowledged = 0, snapshots = 0, changes = 0, events = 0, renewals = 0,
           admitted = 0, refused = 0;
  Duration time{0};
  for_each_seed(Seeds{.count = 400}, [&](uint64_t seed) {
    Trial trial(seed);
    trial.run();
    EXPECT_TRUE(trial.fine()) << trial.world().verdict().text() << "\n" << trial.world().describe();
    acknowledged += trial.clients().acknowledged();
    snapshots += trial.world().snapshots_installed();
    changes += trial.admin().changes();
    events += trial.watchers().events();
    renewals += trial.locks().renewals();
    admitted += trial.accounts().admitted();
    refused += trial.accounts().refused();
    time += trial.world().now().since_origin;
    ++runs;
  });
  std::cout << runs << " clusters, "
            << std::chrono::duration_cast<std::chrono::minutes>(time).count()
            << " minutes of theirs, " << acknowledged << " acknowledged, " << snapshots
            << " snapshots, " << changes << " changes of members, " << events << " events seen, "
            << renewals << " renewals, " << admitted << " requests of users, " << refused
            << " refused\n";
  if (seeds_are_the_usual()) {
    EXPECT_GT(acknowledged, runs * 30);
  }
}

}  // namespace
}  // namespace keelson::sim
