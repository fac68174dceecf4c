// One writing lane, several reading lanes, real threads: for ThreadSanitizer, and to see that no
// wake-up and no event is lost between them.

#include <gtest/gtest.h>

#include <atomic>
#include <future>

#include "base/check.h"
#include "base/random.h"
#include "base/text.h"
#include "base/thread_lane.h"
#include "mvcc/watch/lane_watches.h"
#include "mvcc/watch/watch_fakes.h"

namespace keelson::watch {
namespace {

constexpr int64_t kRevisions = 4000;
constexpr int kLanes = 3;
constexpr int kStreams = 8;

// A client on a lane that reads now and then, by a task posted to the lane. Checks that the
// revisions of its one key come without a gap, and says when it has seen the last.
class Reader {
 public:
  Reader(ThreadLane& lane, LaneWatches& watches, uint64_t seed, std::atomic<int>& done)
      : lane_(lane), random_(seed), done_(done), stream_(watches.open(client_)) {
    CreateRequest request;
    request.key = "k";
    request.prev_kv = true;
    request.start_revision = 2;
    stream_->create(request);
    request.key = "nobody";
    request.start_revision = 0;
    stream_->create(request);
    go_on();
  }

 private:
  void go_on() {
    lane_.post([this] { read(); });
  }

  void read() {
    for (uint64_t n = random_.below(20); n > 0; --n) {
      auto response = client_.read();
      if (!response) break;
      for (const Response::Event& event : response->events) {
        CHECK(event.mod_revision == seen_ + 1);
        if (event.mod_revision > 2) CHECK(event.prev_mod_revision == seen_);
        seen_ = event.mod_revision;
      }
    }
    stream_->on_writable();
    if (random_.below(10) == 0) stream_->request_progress();
    if (seen_ < kRevisions + 1) return go_on();
    done_.fetch_add(1);
  }

  ThreadLane& lane_;
  SeededRandom random_;
  std::atomic<int>& done_;
  FakeClient client_;
  std::unique_ptr<WatchStream> stream_;
  int64_t seen_ = 1;
};

// What lives on one lane.
struct LaneSide {
  explicit LaneSide(int number) : lane(cat("io-", number)), random(static_cast<uint64_t>(number)) {}
  ThreadLane lane;
  SeededRandom random;
  std::unique_ptr<LaneWatches> watches;
  std::vector<std::unique_ptr<Reader>> readers;

  void on_lane(absl::AnyInvocable<void()> task) {
    std::promise<void> ran;
    lane.post([&] {
      task();
      ran.set_value();
    });
    ran.get_future().wait();
  }
};

void run(const FeedOptions& feed_options, const WatchOptions& options, bool pause) {
  FakeStore store;
  std::vector<std::unique_ptr<LaneSide>> sides;
  for (int i = 0; i < kLanes; ++i) sides.push_back(std::make_unique<LaneSide>(i));
  EventFeed feed(store.revision(), feed_options);
  std::atomic<int> done = 0;
  for (auto& side : sides) {
    side->on_lane([&] {
      side->watches = std::make_unique<LaneWatches>(side->lane, feed, store, side->random, options);
    });
  }

  ThreadLane apply("apply");
  for (int64_t i = 0; i < kRevisions; ++i) {
    apply.post([&, i] {
      store.commit({{"k", cat("value ", i)}});
      if (i % 3 == 0 || i == kRevisions - 1) feed.publish(store.take_batch(i % 2 == 0));
    });
    if (i % 500 == 100) {
      for (auto& side : sides) {
        side->on_lane([&, number = side->readers.size()] {
          side->readers.push_back(
              std::make_unique<Reader>(side->lane, *side->watches, number + 1, done));
        });
      }
    }
    if (pause && i % 64 == 0) std::this_thread::yield();
  }
  while (done.load() < kLanes * kStreams) std::this_thread::yield();
  apply.stop();
  for (auto& side : sides) {
    side->on_lane([&] {
      side->watches->check_invariants();
      EXPECT_EQ(side->watches->metrics().streams.get(), kStreams);
      side->readers.clear();
      side->watches.reset();
    });
    side->lane.stop();
  }
}

TEST(WatchThreads, NothingIsLost) { run({}, {}, true); }

// Inboxes, windows and clients that are always too small: everything at once.
TEST(WatchThreads, NothingIsLostWhenEverythingIsSmall) {
  WatchOptions options;
  options.window_batches = 10;
  options.stream_pending = 500;
  options.slice_bytes = 2000;
  run({.inbox_batches = 4, .inbox_bytes = 4000}, options, false);
}

}  // namespace
}  // namespace keelson::watch
