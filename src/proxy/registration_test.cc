// A proxy that knows of its like, beside a cluster that goes away and comes back.

#include "proxy/registration.h"

#include <gtest/gtest.h>

#include "base/errors.h"
#include "base/text.h"
#include "proxy/messages.h"
#include "proxy/test_cluster.h"
#include "proxy/test_lane.h"

namespace keelson::proxy {
namespace {

using std::chrono::seconds;

constexpr int64_t kTtl = 60;

// Somebody whose watch stands beside the registration's.
class Bystander final : public ClientSink {
 public:
  void send(Parts /*message*/) override {}
  size_t unread() const override { return 0; }
  void when_read(Task /*told*/) override {}
  void answered() override {}
  void end(absl::Status why) override { ended = std::move(why); }

  absl::Status ended;
};

struct World {
  World()
      : random(1),
        prefix(""),
        cluster(&lane, &random),
        watches({cluster, lane, lane, prefix, metrics}),
        keep_alives({cluster, lane, metrics}),
        registration(std::make_shared<Registration>(
            Registration::Deps{cluster, lane, watches, keep_alives, prefix},
            RegistrationConfig{
                .prefix = "proxies", .address = "here:1", .name = "us", .ttl = kTtl})) {
    cluster.leases = {7};
    cluster.answer_unary = [this](const outbound::RpcRequest& request) {
      return answer(request.path);
    };
  }

  absl::StatusOr<Parts> answer(const std::string& path) {
    if (away) return absl::UnavailableError("nobody");
    if (path.ends_with("/LeaseGrant")) {
      etcdserverpb::LeaseGrantResponse response;
      response.set_id(7);
      return encoded(response);
    }
    if (path.ends_with("/Range")) {
      ++lists;
      etcdserverpb::RangeResponse response;
      response.mutable_header()->set_revision(cluster.revision());
      for (const std::string& address : proxies) {
        mvccpb::KeyValue& kv = *response.add_kvs();
        kv.set_key(cat("proxies/", address));
        kv.set_value(cat("{\"Addr\":\"", address, "\"}"));
      }
      return encoded(response);
    }
    return Parts();
  }
  std::shared_ptr<Bystander> bystander(WatchHub::Client* id) {
    auto sink = std::make_shared<Bystander>();
    *id = watches.join(sink, {});
    watches.create(*id, {.key = "x"});
    return sink;
  }
  void settle() {
    do {
      lane.run();
    } while (cluster.step());
    lane.run();
  }
  void pass(Duration time) {
    lane.pass(time);
    settle();
  }

  TestLane lane;
  SeededRandom random;
  KeyPrefix prefix;
  TestCluster cluster;
  Metrics metrics;
  WatchHub watches;
  KeepAliveHub keep_alives;
  std::shared_ptr<Registration> registration;  // shared as it says
  std::vector<std::string> proxies = {"here:1", "there:1"};
  int lists = 0;
  bool away = false;
};

TEST(Registration, LooksAgainWhenTheClusterIsBack) {
  World world;
  // Others before it and behind it in the hub's order.
  WatchHub::Client before, behind;
  const auto first = world.bystander(&before);
  world.registration->start();
  world.settle();
  const auto last = world.bystander(&behind);
  world.settle();
  EXPECT_EQ(world.registration->members().size(), 2u);

  world.away = true;
  world.cluster.refuse(absl::UnavailableError("nobody"));
  world.cluster.break_streams(absl::UnavailableError("lost"));
  world.pass(seconds(30));
  EXPECT_EQ(first->ended, absl::UnavailableError("nobody"));
  EXPECT_EQ(last->ended, absl::UnavailableError("nobody"));

  world.away = false;
  world.cluster.refuse(absl::OkStatus());
  world.proxies = {"here:1", "there:1", "elsewhere:1"};
  world.pass(seconds(30));
  EXPECT_EQ(world.registration->members().size(), 3u);
  // Its own watch, one, is what there is: those of others have ended.
  EXPECT_EQ(world.cluster.watches(), 1u);
  world.registration->stop();
  world.watches.leave(before);
  world.watches.leave(behind);
  world.settle();
  EXPECT_EQ(world.cluster.streams(), 0u);
}

TEST(Registration, LooksAgainBehindACompaction) {
  World world;
  world.registration->start();
  world.settle();
  for (int i = 0; i < 10; ++i) world.cluster.write({{"a", false}});
  world.settle();
  const int lists = world.lists;
  world.cluster.compact(8);
  world.cluster.break_streams(absl::UnavailableError("lost"));
  for (int i = 0; i < 5; ++i) world.pass(seconds(1));
  EXPECT_EQ(world.lists, lists + 1);
  EXPECT_EQ(world.cluster.watches(), 1u);
  world.registration->stop();
  world.settle();
}

}  // namespace
}  // namespace keelson::proxy
