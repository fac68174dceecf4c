// What simulated clusters once found, as short stories.

#include <gtest/gtest.h>

#include "base/quiet_log.h"
#include "base/test_seeds.h"
#include "sim/clients.h"
#include "sim/world.h"

namespace keelson::sim {
namespace {

// Until somebody leads and the first put is acknowledged.
bool begins(World& world, Clients& clients) {
  for (int i = 0; i < world.size(); ++i) {
    if (!world.start(i).ok()) return false;
  }
  bool served = false;
  // What is asked for before there is a leader may be dropped.
  for (int attempt = 0; attempt < 5 && !served; ++attempt) {
    clients.put(0, [&] { served = true; });
    world.run_until([&] { return served; }, std::chrono::seconds(20));
  }
  return served;
}

raft::ConfChange learner(MemberId id) {
  const std::string context =
      cat("{\"id\":", id.value, ",\"peerURLs\":[\"http://10.0.1.1:2380\"],\"isLearner\":true}");
  return {.type = raft::ConfChangeType::kAddLearnerNode,
          .node_id = id,
          .context = Bytes::copy(context)};
}

// The consensus lane heard that a batch is applied when the apply lane was one batch further, with
// a membership change in it that the consensus lane had not heard of: it took the change for
// applied, and ended the member when it came.
TEST(Scenario, AMembershipChangeIsAppliedWhileTheBatchAheadOfItIsReported) {
  log::QuietLog quiet;
  for_each_seed(Seeds{.count = 200}, [](uint64_t seed) {
    SeededRandom random(seed);
    World world(random, 1, {});
    Clients clients(world);
    ASSERT_TRUE(begins(world, clients));
    bool changed = false;
    for (int i = 0; i < 60; ++i) {
      clients.put(0);
      if (i == 20) {
        world.member(0).propose_change(learner(MemberId(7)),
                                       [&](const apply::Reply&) { changed = true; });
      }
      world.step();
    }
    EXPECT_TRUE(world.run_until([&] { return changed && clients.under_way(0) == 0; },
                                std::chrono::seconds(10)))
        << world.verdict().text();
  });
}

}  // namespace
}  // namespace keelson::sim
