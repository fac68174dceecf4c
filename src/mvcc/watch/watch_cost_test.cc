// What lagging watchers cost, counted in moves from one place in line to another (no clock is
// looked at): a client that reads slowly has its stream stall and resume with every few responses,
// and that must not cost something for each of its watchers.

#include <gtest/gtest.h>

#include "base/random.h"
#include "base/text.h"
#include "mvcc/watch/lane_watches.h"
#include "mvcc/watch/watch_fakes.h"

namespace keelson::watch {
namespace {

WatchOptions small_sink() {
  WatchOptions options;
  options.stream_pending = 8 * 1024;
  return options;
}

std::string key_of(int64_t i) { return cat("key", 10'000 + i); }

// One stream with many watchers, whose client reads when told.
class World {
 public:
  explicit World(size_t window_batches = 100'000) {
    WatchOptions options = small_sink();
    options.window_batches = window_batches;
    watches_ = std::make_unique<LaneWatches>(lane_, feed_, store_, random_, options);
    stream_ = watches_->open(client_);
  }

  void watch(int64_t count, bool own_keys) {
    for (int64_t i = 0; i < count; ++i) {
      std::string key = own_keys ? key_of(i) : "key";
      stream_->create({.key = key, .range_end = own_keys ? "" : "kez", .start_revision = 1});
    }
    while (client_.read()) {
    }
    stream_->on_writable();
    run_counting();
  }

  // Each in a batch of its own; the client does not read.
  void write(int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      store_.commit({{key_of(i), std::string(100, 'v')}});
      feed_.publish(store_.take_batch());
      lane_.run();
    }
  }

  // Reads a response at a time; returns how many events there were.
  int64_t read_all() {
    int64_t events = 0;
    for (;;) {
      auto response = client_.read();
      if (!response) return events;
      events += static_cast<int64_t>(response->events.size());
      stream_->on_writable();
      run_counting();
    }
  }

  int64_t moves() const { return watches_->metrics().lag_moves.get(); }
  // At one go of the lane.
  int64_t most_moves() const { return most_moves_; }

 private:
  void run_counting() {
    for (int64_t before = moves(); lane_.step(); before = moves()) {
      most_moves_ = std::max(most_moves_, moves() - before);
    }
  }

  SeededRandom random_{1};
  ManualLane lane_;
  FakeStore store_;
  EventFeed feed_{1};
  std::unique_ptr<LaneWatches> watches_;
  FakeClient client_;
  std::unique_ptr<WatchStream> stream_;
  int64_t most_moves_ = 0;
};

constexpr int64_t kWatchers = 3000;

TEST(WatchCost, SlowClientWithManyWatchersOfOneRange) {
  World world;
  world.watch(kWatchers, false);
  world.write(20);
  const int64_t before = world.moves();
  EXPECT_EQ(world.read_all(), kWatchers * 20);
  EXPECT_LE(world.moves() - before, 5 * kWatchers);
}

TEST(WatchCost, SlowClientWithManyWatchersOfTheirOwnKeys) {
  World world;
  world.watch(kWatchers, true);
  world.write(kWatchers);
  const int64_t before = world.moves();
  EXPECT_EQ(world.read_all(), kWatchers);
  EXPECT_LE(world.moves() - before, 5 * kWatchers);
}

TEST(WatchCost, SlowClientBehindTheWindow) {
  World world(1);
  world.watch(kWatchers, false);
  world.write(20);
  const int64_t before = world.moves();
  EXPECT_EQ(world.read_all(), kWatchers * 20);
  EXPECT_LE(world.moves() - before, 5 * kWatchers);
}

// They are given what they lack in pieces, between which the lane does other things.
TEST(WatchCost, ManyWatchersThatSeeNothingDoNotHoldTheLane) {
  World world(1);
  world.write(50);
  world.watch(kWatchers * 10, true);
  world.read_all();
  EXPECT_GT(world.moves(), kWatchers * 10);
  EXPECT_LE(world.most_moves(), 5000);
}

}  // namespace
}  // namespace keelson::watch
