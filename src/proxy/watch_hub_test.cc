// Watchers behind the hub, beside what happened: each gets every event from its revision on, once,
// in order and whole, whatever becomes of streams, of clients who do not read, and of watches that
// are joined.

#include "proxy/watch_hub.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/errors.h"
#include "base/test_seeds.h"
#include "base/text.h"
#include "proxy/test_cluster.h"
#include "proxy/test_lane.h"

namespace keelson::proxy {
namespace {

using std::chrono::seconds;

// A client that keeps what it gets.
class Client final : public ClientSink {
 public:
  explicit Client(Executor* lane) : lane_(*lane) {}

  void send(Parts message) override {
    unread_ += message.size();
    etcdserverpb::WatchResponse response;
    EXPECT_TRUE(response.ParseFromString(message.flat()));
    messages.push_back(std::move(response));
  }
  size_t unread() const override { return unread_ + extra; }
  void when_read(Task told) override { told_ = std::move(told); }
  void answered() override { ++answers; }
  void end(absl::Status why) override { ended = std::move(why); }

  void read() {
    unread_ = extra = 0;
    if (told_) lane_.post(std::exchange(told_, nullptr));
  }
  bool waits() const { return told_ != nullptr; }

  std::vector<etcdserverpb::WatchResponse> messages;
  size_t extra = 0;
  int answers = 0;
  absl::Status ended;

 private:
  Executor& lane_;
  size_t unread_ = 0;
  Task told_;
};

struct World {
  explicit World(uint64_t seed, std::string name_space = "")
      : random(seed),
        prefix(std::move(name_space)),
        cluster(&lane, &random),
        hub({cluster, lane, lane, prefix, metrics}) {}

  std::shared_ptr<Client> join(WatchHub::Client* id, const std::string& token = "") {
    auto client = std::make_shared<Client>(&lane);
    *id = hub.join(client, {{"token", token}});
    return client;
  }
  // Until nothing happens any more.
  void settle() {
    do {
      lane.run();
    } while (cluster.step());
    lane.run();
  }

  TestLane lane;
  SeededRandom random;
  KeyPrefix prefix;
  TestCluster cluster;
  Metrics metrics;
  WatchHub hub;
};

WatchWish all_keys(int64_t start = 0) {
  return {.key = "a", .end = std::string(1, '\0'), .start = start};
}

TEST(WatchHub, AsksOnceForAll) {
  World world(1);
  WatchHub::Client ids[20];
  std::vector<std::shared_ptr<Client>> clients;
  for (auto& id : ids) {
    clients.push_back(world.join(&id));
    world.hub.create(id, all_keys());
    world.settle();
  }
  EXPECT_EQ(world.cluster.streams(), 1u);
  EXPECT_EQ(world.cluster.watches(), 1u);
  EXPECT_EQ(world.metrics.watchers_coalescing.value(), 19);
  world.cluster.write({{"b", false}});
  world.settle();
  for (const auto& client : clients) {
    ASSERT_EQ(client->messages.size(), 2u);
    EXPECT_TRUE(client->messages[0].created());
    EXPECT_EQ(client->messages[1].events(0).kv().key(), "b");
    EXPECT_EQ(client->answers, 1);
  }
  EXPECT_EQ(world.metrics.events_coalescing.value(), 19);
  for (auto id : ids) world.hub.leave(id);
  world.settle();
  EXPECT_EQ(world.cluster.streams(), 0u);
  EXPECT_EQ(world.metrics.watchers_coalescing.value(), 0);
}

TEST(WatchHub, SharesNothingAmongTokens) {
  World world(2);
  WatchHub::Client one, other;
  world.join(&one, "x");
  world.join(&other, "y");
  world.hub.create(one, all_keys());
  world.hub.create(other, all_keys());
  world.settle();
  EXPECT_EQ(world.cluster.streams(), 2u);
  EXPECT_EQ(world.cluster.watches(), 2u);
}

TEST(WatchHub, HandsOnRefusals) {
  World world(3);
  WatchHub::Client id;
  const auto client = world.join(&id);
  world.hub.create(id, {.key = "forbidden"});
  world.hub.create(id, {.key = "k", .start = -1});
  world.hub.create(id, {.key = "k", .end = "a"});
  world.hub.create(id, {.key = "k"});
  world.settle();
  ASSERT_EQ(client->messages.size(), 4u);
  int refused = 0;
  for (const auto& message : client->messages) {
    EXPECT_TRUE(message.created());
    if (!message.canceled()) continue;
    ++refused;
    EXPECT_EQ(message.watch_id(), -1);
  }
  EXPECT_EQ(refused, 3);
  EXPECT_EQ(client->answers, 4);
}

TEST(WatchHub, TellsOfCompactions) {
  World world(4);
  for (int i = 0; i < 10; ++i) world.cluster.write({{"b", false}});
  world.cluster.compact(5);
  WatchHub::Client id;
  const auto client = world.join(&id);
  world.hub.create(id, all_keys(3));
  world.settle();
  ASSERT_EQ(client->messages.size(), 2u);
  EXPECT_TRUE(client->messages[0].created());
  EXPECT_EQ(client->messages[1].compact_revision(), 5);
  EXPECT_EQ(client->messages[1].watch_id(), 0);
}

TEST(WatchHub, AnswersQuestionsForProgress) {
  World world(5);
  WatchHub::Client id;
  const auto client = world.join(&id);
  world.hub.create(id, all_keys());
  world.settle();
  world.cluster.write({{"0", false}});
  world.settle();
  world.hub.ask_progress(id);
  world.settle();
  ASSERT_EQ(client->messages.size(), 2u);
  EXPECT_EQ(client->messages[1].watch_id(), -1);
  EXPECT_EQ(client->messages[1].header().revision(), 2);
}

TEST(WatchHub, EndsStreamsWhenNobodyCanBeHad) {
  World world(6);
  WatchHub::Client id;
  const auto client = world.join(&id);
  world.hub.create(id, all_keys());
  world.settle();
  world.cluster.refuse(absl::UnavailableError("nobody"));
  world.cluster.break_streams(absl::UnavailableError("lost"));
  world.lane.pass(seconds(4));
  EXPECT_TRUE(client->ended.ok());
  world.lane.pass(seconds(3));
  EXPECT_EQ(client->ended, absl::UnavailableError("nobody"));
  // Whoever comes later is served once there is somebody.
  world.hub.leave(id);
  world.cluster.refuse(absl::OkStatus());
  const auto next = world.join(&id);
  world.hub.create(id, all_keys());
  world.settle();
  EXPECT_EQ(next->messages.size(), 1u);
}

// An outage that nobody saw the end of is not held against the next one.
TEST(WatchHub, WaitsAsLongForWhoComesLater) {
  World world(9);
  WatchHub::Client id;
  world.join(&id);
  world.hub.create(id, all_keys());
  world.settle();
  world.cluster.refuse(absl::UnavailableError("nobody"));
  world.cluster.break_streams(absl::UnavailableError("lost"));
  world.lane.pass(seconds(1));
  WatchHub::Client stays_id;  // so that there is still something in common
  world.join(&stays_id);
  world.hub.leave(id);
  world.lane.pass(seconds(60));
  const auto next = world.join(&id);
  world.hub.create(id, all_keys());
  world.lane.pass(seconds(3));
  EXPECT_TRUE(next->ended.ok());
  world.cluster.refuse(absl::OkStatus());
  world.lane.pass(seconds(2));
  world.settle();
  EXPECT_EQ(next->messages.size(), 1u);
}

// However fast somebody changes their mind, the cluster's watches are what waits to be asked for.
TEST(WatchHub, AsksForNothingThatNobodyWantsAnyMore) {
  World world(10);
  WatchHub::Client id;
  const auto client = world.join(&id);
  for (int i = 0; i < 10000; ++i) {
    world.hub.create(id, {.key = cat(i), .id = 1});
    world.hub.cancel(id, 1);
  }
  world.hub.create(id, {.key = "wanted", .id = 1});
  world.settle();
  EXPECT_EQ(client->answers, 20001);
  EXPECT_LE(world.cluster.creations, 2u);
  EXPECT_EQ(world.cluster.watches(), 1u);
}

TEST(WatchHub, EndsStreamsWithoutALeaderAtOnce) {
  World world(7);
  WatchHub::Client id;
  const auto client = world.join(&id);
  world.hub.create(id, all_keys());
  world.settle();
  world.cluster.break_streams(errors::NoLeader());
  world.settle();
  EXPECT_EQ(client->ended, errors::NoLeader());
}

TEST(WatchHub, KeepsNothingForWhoDoesNotRead) {
  World world(8);
  WatchHub::Client slow_id, quick_id;
  const auto slow = world.join(&slow_id), quick = world.join(&quick_id);
  world.hub.create(slow_id, all_keys());
  world.hub.create(quick_id, all_keys());
  world.settle();
  slow->extra = WatchHub::kMostUnread + 1;
  for (int i = 0; i < 50; ++i) {
    world.cluster.write({{"b", false}});
    world.settle();
  }
  EXPECT_TRUE(slow->waits());
  EXPECT_EQ(slow->messages.size(), 2u);
  EXPECT_EQ(quick->messages.size(), 51u);
  slow->read();
  world.settle();
  int events = 0;
  for (const auto& message : slow->messages) events += message.events_size();
  EXPECT_EQ(events, 50);
  EXPECT_EQ(world.cluster.watches(), 1u);
}

// ---- anything at all

struct Wanted {
  WatchHub::Client client;
  std::shared_ptr<Client> sink;
  WatchWish wish;
  bool cancelled = false;
};

bool in_range(const WatchWish& wish, const std::string& key) {
  if (wish.end.empty()) return key == wish.key;
  return key >= wish.key && (wish.end == std::string(1, '\0') || key < wish.end);
}

std::string shown(const std::string& key, int64_t revision, bool is_delete) {
  return cat(is_delete ? "-" : "+", key, "@", revision);
}

void check(const World& world, const Wanted& wanted) {
  std::vector<std::string> got, expected;
  int64_t from = wanted.wish.start;
  bool created = false;
  for (const auto& message : wanted.sink->messages) {
    if (message.watch_id() != wanted.wish.id) continue;
    if (message.created()) {
      EXPECT_FALSE(created);
      created = true;
      if (from == 0) from = message.header().revision() + 1;
    }
    int64_t last = 0;
    for (const auto& event : message.events()) {
      got.push_back(shown(event.kv().key(), event.kv().mod_revision(),
                          event.type() == mvccpb::Event::DELETE));
      EXPECT_EQ(event.has_prev_kv(), wanted.wish.prev_kv);
      EXPECT_GE(event.kv().mod_revision(), last);
      last = event.kv().mod_revision();
    }
  }
  for (const TestCluster::Event& event : world.cluster.events()) {
    if (event.revision < from || !in_range(wanted.wish, event.key)) continue;
    if (event.is_delete ? wanted.wish.no_delete : wanted.wish.no_put) continue;
    expected.push_back(shown(event.key, event.revision, event.is_delete));
  }
  if (wanted.cancelled) {
    ASSERT_LE(got.size(), expected.size());
    expected.resize(got.size());
  } else {
    EXPECT_TRUE(created);
  }
  EXPECT_EQ(got, expected) << "of " << wanted.wish.key << " from " << from;
}

WatchWish random_wish(Random& random, int64_t revision, int64_t id) {
  WatchWish wish{.key = std::string(1, static_cast<char>('a' + random.below(3))), .id = id};
  if (random.below(2) == 0) wish.end = random.below(2) == 0 ? "c" : std::string(1, '\0');
  if (wish.end == "c" && wish.key >= "c") wish.end = "d";
  if (random.below(2) == 0) {
    wish.start = 1 + static_cast<int64_t>(random.below(static_cast<uint64_t>(revision) + 3));
  }
  wish.prev_kv = random.below(3) == 0;
  wish.no_put = random.below(8) == 0;
  wish.no_delete = random.below(8) == 0;
  return wish;
}

TEST(WatchHub, EachGetsEverythingOnce) {
  for_each_seed(400, [](uint64_t seed) {
    World world(seed);
    Random& random = world.random;
    std::vector<std::pair<WatchHub::Client, std::shared_ptr<Client>>> clients;
    for (int i = 0; i < 4; ++i) {
      WatchHub::Client id = 0;
      auto client = world.join(&id, random.below(4) == 0 ? "other" : "");
      clients.emplace_back(id, std::move(client));
    }
    std::vector<Wanted> all;
    int64_t next_id = 1;
    for (int i = 0; i < 300; ++i) {
      auto& [id, sink] = clients[random.below(clients.size())];
      switch (random.below(12)) {
        case 0:
          if (all.size() > 40) break;
          all.push_back({id, sink, random_wish(random, world.cluster.revision(), next_id++)});
          world.hub.create(id, all.back().wish);
          break;
        case 1:
        case 2: {
          std::vector<std::pair<std::string, bool>> keys;
          for (uint64_t n = 1 + random.below(3); n > 0; --n) {
            keys.emplace_back(std::string(1, static_cast<char>('a' + random.below(4))),
                              random.below(3) == 0);
          }
          world.cluster.write(keys);
          break;
        }
        case 3:
          if (all.empty()) break;
          if (Wanted& one = all[random.below(all.size())]; random.below(4) == 0) {
            one.cancelled = true;
            world.hub.cancel(one.client, one.wish.id);
          }
          break;
        case 4:
          if (random.below(4) == 0) world.cluster.break_streams(absl::UnavailableError("lost"));
          break;
        case 5:
          sink->extra = WatchHub::kMostUnread + 1;
          break;
        case 6:
          sink->read();
          break;
        case 7:
          world.lane.pass(std::chrono::milliseconds(200));
          break;
        default:
          world.lane.step();
          world.cluster.step();
          break;
      }
    }
    for (auto& [id, sink] : clients) sink->read();
    for (int i = 0; i < 5; ++i) {
      world.settle();
      world.lane.pass(std::chrono::milliseconds(500));
      for (auto& [id, sink] : clients) sink->read();
    }
    for (const Wanted& wanted : all) check(world, wanted);
    for (auto& [id, sink] : clients) {
      EXPECT_TRUE(sink->ended.ok());
      world.hub.leave(id);
    }
    world.settle();
    EXPECT_EQ(world.cluster.streams(), 0u);
    EXPECT_EQ(world.metrics.watchers_coalescing.value(), 0);
  });
}

}  // namespace
}  // namespace keelson::proxy
