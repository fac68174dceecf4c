// Keep-alives of many clients on one stream: each is answered, those for one lease with one answer.

#include "proxy/keep_alive.h"

#include <gtest/gtest.h>

#include "base/test_seeds.h"
#include "proto/rpc.pb.h"
#include "proxy/test_cluster.h"
#include "proxy/test_lane.h"

namespace keelson::proxy {
namespace {

class Client final : public ClientSink {
 public:
  void send(Parts message) override {
    etcdserverpb::LeaseKeepAliveResponse response;
    EXPECT_TRUE(response.ParseFromString(message.flat()));
    ++answers[response.id()];
    ttl[response.id()] = response.ttl();
  }
  size_t unread() const override { return 0; }
  void when_read(Task /*told*/) override {}
  void answered() override { ++answered_; }
  void end(absl::Status why) override { ended = std::move(why); }

  std::map<int64_t, int> answers;
  std::map<int64_t, int64_t> ttl;
  int answered_ = 0;
  absl::Status ended;
};

struct World {
  explicit World(uint64_t seed)
      : random(seed), cluster(&lane, &random), hub({cluster, lane, metrics}) {
    cluster.leases = {1, 2, 3};
  }
  std::shared_ptr<Client> join(KeepAliveHub::Client* id) {
    auto client = std::make_shared<Client>();
    *id = hub.join(client, {});
    return client;
  }
  void settle() {
    do {
      lane.run();
    } while (cluster.step());
    lane.run();
  }

  TestLane lane;
  SeededRandom random;
  TestCluster cluster;
  Metrics metrics;
  KeepAliveHub hub;
};

TEST(KeepAlive, OneQuestionForAllWhoAsk) {
  World world(1);
  KeepAliveHub::Client ids[10];
  std::vector<std::shared_ptr<Client>> clients;
  for (auto& id : ids) {
    clients.push_back(world.join(&id));
    world.hub.renew(id, 2);
    world.hub.renew(id, 9);
  }
  world.settle();
  EXPECT_EQ(world.cluster.keep_alives, 2u);
  EXPECT_EQ(world.cluster.streams(), 1u);
  for (const auto& client : clients) {
    EXPECT_EQ(client->answered_, 2);
    EXPECT_EQ(client->ttl[2], 60);
    EXPECT_EQ(client->ttl[9], 0);
  }
  EXPECT_EQ(world.metrics.keep_alives_coalescing.value(), 18);
  world.hub.renew(ids[0], 2);
  world.settle();
  EXPECT_EQ(world.cluster.keep_alives, 3u);
  for (auto id : ids) world.hub.leave(id);
  world.settle();
  EXPECT_EQ(world.cluster.streams(), 0u);
}

TEST(KeepAlive, ALostStreamEndsThoseWhoWait) {
  World world(2);
  KeepAliveHub::Client waits_id, idle_id;
  const auto waits = world.join(&waits_id), idle = world.join(&idle_id);
  world.hub.renew(idle_id, 1);
  world.settle();
  world.hub.renew(waits_id, 1);
  world.cluster.break_streams(absl::UnavailableError("lost"));
  world.settle();
  EXPECT_EQ(waits->ended, absl::UnavailableError("lost"));
  EXPECT_TRUE(idle->ended.ok());
  world.hub.leave(waits_id);
  world.hub.renew(idle_id, 1);
  world.settle();
  EXPECT_EQ(idle->answers[1], 2);
}

TEST(KeepAlive, AServerThatAnswersNothingIsLeft) {
  World world(3);
  KeepAliveHub::Client waits_id, late_id;
  const auto waits = world.join(&waits_id), late = world.join(&late_id);
  world.hub.renew(waits_id, 1);
  world.lane.pass(KeepAliveHub::kPatience * 3 / 4);
  world.hub.renew(late_id, 1);
  EXPECT_TRUE(waits->ended.ok());
  world.lane.pass(KeepAliveHub::kPatience * 2);
  EXPECT_EQ(waits->ended.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(late->ended.code(), absl::StatusCode::kUnavailable);
  // Whoever comes next is asked for on a new stream.
  const size_t opened = world.cluster.opened;
  KeepAliveHub::Client next_id;
  const auto next = world.join(&next_id);
  world.hub.renew(next_id, 1);
  world.settle();
  EXPECT_EQ(world.cluster.opened, opened + 1);
  EXPECT_EQ(next->ttl[1], 60);
  // And one that answers is not left, however long it is asked.
  for (int i = 0; i < 20; ++i) {
    world.hub.renew(next_id, 1);
    world.settle();
    world.lane.pass(KeepAliveHub::kPatience);
  }
  EXPECT_TRUE(next->ended.ok());
  EXPECT_EQ(world.cluster.opened, opened + 1);
}

TEST(KeepAlive, EachRequestHasItsAnswer) {
  for_each_seed(200, [](uint64_t seed) {
    World world(seed);
    std::vector<std::pair<KeepAliveHub::Client, std::shared_ptr<Client>>> clients;
    std::map<std::pair<Client*, int64_t>, int> asked;
    for (int i = 0; i < 5; ++i) {
      KeepAliveHub::Client id = 0;
      auto client = world.join(&id);
      clients.emplace_back(id, std::move(client));
    }
    for (int i = 0; i < 200; ++i) {
      if (world.random.below(2) == 0) {
        world.lane.step();
        world.cluster.step();
        continue;
      }
      auto& [id, client] = clients[world.random.below(clients.size())];
      const auto lease = static_cast<int64_t>(1 + world.random.below(5));
      ++asked[{client.get(), lease}];
      world.hub.renew(id, lease);
    }
    world.settle();
    for (const auto& [which, times] : asked) EXPECT_EQ(which.first->answers[which.second], times);
  });
}

}  // namespace
}  // namespace keelson::proxy
