// What simulated clusters once found, as short stories.

#include <gtest/gtest.h>

#include "base/quiet_log.h"
#include "base/test_seeds.h"
#include "proto/rpc.pb.h"
#include "sim/beginning.h"

namespace keelson::sim {
namespace {

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

// The core had taken a snapshot, which was on its way into the log, when the apply lane came to a
// change of members from before it: the core made it once more, and counted a member that had been
// removed since.
TEST(Scenario, AChangeOfMembersFromBeforeASnapshotOnItsWayIsNotMadeAgain) {
  log::QuietLog quiet;
  for_each_seed(Seeds{.count = 20}, [](uint64_t seed) {
    SeededRandom random(seed);
    World world(random, 3, {});
    Clients clients(world);
    ASSERT_TRUE(begins(world, clients));
    const int leader = world.leader(), slow = (leader + 1) % 3;
    node::TestMember &leads = world.member(leader), &lags = world.member(slow);
    auto change = [&](const raft::ConfChange& what) {
      bool made = false;
      leads.propose_change(what, [&](const apply::Reply& reply) { made = reply.status.ok(); });
      return world.run_until([&] { return made; }, std::chrono::seconds(20));
    };
    auto committed = [](node::TestMember& member) {
      return member.node().state().committed.load();
    };
    // What it has applied does not show what it knows.
    lags.schedule.hold(lags.schedule.apply);
    ASSERT_TRUE(change(learner(MemberId(7))));
    const uint64_t added = committed(leads);
    ASSERT_TRUE(
        world.run_until([&] { return committed(lags) >= added; }, std::chrono::seconds(20)));
    world.split({slow});
    ASSERT_TRUE(change({.type = raft::ConfChangeType::kRemoveNode, .node_id = MemberId(7)}));
    const uint64_t snapshots = world.snapshots_installed();
    for (int i = 0; i < 200; ++i) {
      bool done = false;
      clients.put(leader, [&] { done = true; });
      ASSERT_TRUE(world.run_until([&] { return done; }, std::chrono::seconds(20)));
    }
    world.heal();
    ASSERT_TRUE(world.run_until([&] { return world.snapshots_installed() > snapshots; },
                                std::chrono::seconds(30)));
    lags.schedule.hold(lags.schedule.log);
    world.run_until([] { return false; }, std::chrono::milliseconds(20));
    lags.schedule.release(lags.schedule.apply);
    world.run_until([] { return false; }, std::chrono::milliseconds(20));
    lags.schedule.release();
    ASSERT_TRUE(world.run_until([&] { return committed(lags) >= committed(leads); },
                                std::chrono::seconds(20)))
        << world.describe();
    std::optional<raft::tracker::Config> config;
    lags.node().consensus().with_core([&](raft::RawNode& core) { config = core.status().config; });
    ASSERT_TRUE(world.run_until([&] { return config.has_value(); }, std::chrono::seconds(1)));
    EXPECT_FALSE(config->learners.contains(MemberId(7)));
    EXPECT_TRUE(world.verdict().ok()) << world.verdict().text();
  });
}

// The cluster's first version was asked for and timed out, but was in the log. When it was asked
// for again a member did not say its version, so that it was 3.0.0, and came behind the other.
TEST(Scenario, TheFirstVersionIsNotFollowedByAnOlderOne) {
  log::QuietLog quiet;
  for_each_seed(Seeds{.count = 20}, [](uint64_t seed) {
    SeededRandom random(seed);
    World world(random, 3, {});
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(world.start(i).ok());
    auto leads = [&] {
      const int i = world.leader();
      return i >= 0 && world.member(i).node().state().applied.load() > 3;  // who the members are
    };
    ASSERT_TRUE(world.run_until(leads, std::chrono::seconds(20)));
    const int leader = world.leader();
    for (int i = 0; i < 3; ++i) {
      if (i != leader) world.member(i).schedule.hold(world.member(i).schedule.log);
    }
    world.run_until([] { return false; }, std::chrono::seconds(2));
    for (int i = 0; i < 3; ++i) world.say_version(i, std::nullopt);
    world.run_until([] { return false; }, std::chrono::seconds(12));
    EXPECT_EQ(world.leader(), leader);
    for (int i = 0; i < 3; ++i) world.member(i).schedule.release();
    auto version = [&] { return world.member(leader).node().members().view()->cluster_version; };
    EXPECT_TRUE(world.run_until([&] { return !version().empty(); }, std::chrono::seconds(10)));
    world.run_until([] { return false; }, std::chrono::seconds(10));
    EXPECT_TRUE(world.verdict().ok()) << world.verdict().text();
    EXPECT_EQ(version(), "3.7.0");
  });
}

// A later version was asked for and timed out, but was in the log. A member said then that it is of
// one between, which was asked for, and came behind the other.
TEST(Scenario, ALaterVersionIsNotFollowedByOneBetween) {
  log::QuietLog quiet;
  for_each_seed(Seeds{.count = 20}, [](uint64_t seed) {
    SeededRandom random(seed);
    World world(random, 3, {});
    constexpr membership::Version kBefore{3, 5, 17}, kBetween{3, 6, 5};
    for (int i = 0; i < 3; ++i) world.say_version(i, kBefore);
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(world.start(i).ok());
    auto version = [&](int i) { return world.member(i).node().members().view()->cluster_version; };
    ASSERT_TRUE(world.run_until([&] { return version(0) == "3.5.0"; }, std::chrono::seconds(60)));
    const int leader = world.leader();
    for (int i = 0; i < 3; ++i) {
      if (i != leader) world.member(i).schedule.hold(world.member(i).schedule.log);
      world.say_version(i, membership::kOurVersion);
    }
    world.run_until([] { return false; }, std::chrono::seconds(14));
    for (int i = 0; i < 3; ++i) world.say_version(i, kBetween);
    world.run_until([] { return false; }, std::chrono::seconds(12));
    EXPECT_EQ(world.leader(), leader);
    for (int i = 0; i < 3; ++i) world.member(i).schedule.release();
    world.run_until([] { return false; }, std::chrono::seconds(20));
    EXPECT_TRUE(world.verdict().ok()) << world.verdict().text();
    EXPECT_EQ(version(leader), "3.7.0");
  });
}

// A leader stood still. When it went on, leases had run out as far as it could tell; it heard of
// its successor, and had that one revoke what was renewed there.
TEST(Scenario, WhatAFormerLeaderFoundExpiredIsNotRevoked) {
  log::QuietLog quiet;
  for_each_seed(Seeds{.count = 40}, [](uint64_t seed) {
    SeededRandom random(seed);
    World world(random, 3, {});
    Clients clients(world);
    ASSERT_TRUE(begins(world, clients));
    const int former = world.leader();
    etcdserverpb::LeaseGrantRequest lease;
    lease.set_id(7);
    lease.set_ttl(3);
    bool granted = false;
    world.member(former).propose(wire::InternalKind::kLeaseGrant, lease.SerializeAsString(),
                                 [&](const apply::Reply& r) { granted = r.status.ok(); });
    ASSERT_TRUE(world.run_until([&] { return granted; }, std::chrono::seconds(10)));
    world.pause(former);
    ASSERT_TRUE(
        world.run_until([&] { return world.leader() != former; }, std::chrono::seconds(20)));
    const int successor = world.leader();
    bool lost = false;
    auto renew = [&](int times) {
      for (int i = 0; i < times; ++i) {
        world.run_until([] { return false; }, std::chrono::milliseconds(300));
        world.member(successor).node().apply_lane().run([&](apply::Applier& applier) {
          lost |= absl::IsNotFound(applier.leases().renew(LeaseId(7), applier.now()).status());
        });
      }
    };
    renew(14);
    world.resume(former);
    renew(10);
    world.run_until([] { return false; }, std::chrono::milliseconds(100));
    EXPECT_FALSE(lost) << "seed " << seed;
    EXPECT_TRUE(world.verdict().ok()) << world.verdict().text();
  });
}

}  // namespace
}  // namespace keelson::sim
