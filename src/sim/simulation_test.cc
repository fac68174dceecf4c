// Simulated clusters from seeds, with everything failing that can; afterwards they serve again, and
// all members hold the same.

#include <gtest/gtest.h>

#include <iostream>

#include "base/test_seeds.h"
#include "sim/clients.h"
#include "sim/world.h"

namespace keelson::sim {
namespace {

class Trial {
 public:
  explicit Trial(uint64_t seed)
      : random_(seed), world_(random_, random_.below(4) == 0 ? 5 : 3), clients_(world_) {}

  void run() {
    for (int i = 0; i < world_.size(); ++i) ASSERT_TRUE(world_.start(i).ok());
    const int steps = 3000 + static_cast<int>(random_.below(9000));
    for (int i = 0; i < steps && fine(); ++i) {
      if (random_.below(3) == 0) ask();
      if (random_.below(150) == 0) disturb();
      if (!world_.step()) break;
    }
    if (fine()) settle();
  }

  bool fine() const { return const_cast<World&>(world_).verdict().ok(); }
  World& world() { return world_; }
  Clients& clients() { return clients_; }

 private:
  int any() { return static_cast<int>(random_.below(static_cast<uint64_t>(world_.size()))); }

  void ask() {
    const int i = any();
    if (world_.up(i) && !world_.dead(i) && clients_.under_way(i) < 8) clients_.act(i);
  }

  void disturb() {
    const int i = any();
    switch (random_.below(12)) {
      case 0:
      case 1:
        return kill(i);
      case 2:
      case 3:
        return start(i);
      case 4:
        return world_.split({i});
      case 5:
        return world_.split({i, any()});
      case 6:
        return world_.cut(i, any());
      case 7:
        if (world_.up(i)) world_.member(i).schedule.hold(world_.member(i).schedule.log);
        return;
      case 8:
        if (world_.up(i)) world_.member(i).schedule.release();
        return;
      case 9:
        return world_.set_weather({random_.below(100), random_.below(100), random_.below(200)});
      case 10:
        if (world_.up(i)) world_.member(i).node().backend()->flush([](absl::Status) {});
        return;
      default:
        world_.set_weather({});
        return world_.heal();
    }
  }

  void kill(int i) {
    if (!world_.up(i)) return;
    clients_.forget(i);
    world_.kill(i, random_.below(2) == 0);
  }

  void start(int i) {
    if (world_.up(i)) return;
    absl::Status started = world_.start(i);
    if (!started.ok()) {
      world_.verdict().violated(cat("member ", i, " does not start: ", message_of(started)));
    }
  }

  // Once nothing fails any more there is service again, and soon all are equal.
  void settle() {
    world_.heal();
    world_.set_weather({});
    for (int i = 0; i < world_.size(); ++i) {
      if (world_.up(i)) world_.member(i).schedule.release();
      start(i);
    }
    for (int i = 0; i < world_.size() && fine(); ++i) {
      if (!serves(i)) world_.verdict().violated(cat("member ", i, " does not serve"));
    }
    if (fine() && !world_.run_until([this] { return equal(); }, std::chrono::seconds(30))) {
      world_.verdict().violated("the members do not become equal");
    }
  }

  // A put or a read may be lost with a message; then it is asked again.
  bool serves(int i) {
    for (int attempt = 0; attempt < 3; ++attempt) {
      bool written = false, seen = false;
      clients_.put(i, [&] { written = true; });
      clients_.read(i, [&] { seen = true; });
      const bool both = world_.run_until([&] { return written && seen; }, std::chrono::seconds(8));
      world_.run_until([&] { return clients_.under_way(i) == 0; }, std::chrono::seconds(8));
      if (both) return true;
    }
    return false;
  }

  bool equal() {
    const uint64_t applied = world_.member(0).node().state().applied.load();
    absl::StatusOr<uint32_t> hash = backend::hash_all(*world_.member(0).node().backend());
    for (int i = 1; i < world_.size(); ++i) {
      if (world_.member(i).node().state().applied.load() != applied) return false;
    }
    for (int i = 1; i < world_.size(); ++i) {
      if (*backend::hash_all(*world_.member(i).node().backend()) != *hash) return false;
    }
    return true;
  }

  SeededRandom random_;
  World world_;
  Clients clients_;
};

TEST(Simulation, ClustersKeepWhatTheyAcknowledged) {
  log::QuietLog quiet;
  uint64_t acknowledged = 0, runs = 0, snapshots = 0;
  for_each_seed(Seeds{.count = 60}, [&](uint64_t seed) {
    Trial trial(seed);
    trial.run();
    EXPECT_TRUE(trial.fine()) << trial.world().verdict().text() << "\n" << trial.world().describe();
    acknowledged += trial.clients().acknowledged();
    snapshots += trial.world().snapshots_installed();
    ++runs;
  });
  std::cout << runs << " clusters, " << acknowledged << " acknowledged, " << snapshots
            << " snapshots\n";
  if (seeds_are_the_usual()) {
    EXPECT_GT(acknowledged, runs * 30);
  }
}

}  // namespace
}  // namespace keelson::sim
