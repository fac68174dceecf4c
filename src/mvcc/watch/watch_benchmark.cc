// What an event costs on its way to a thousand watchers, and what matching costs among many ranges.

#include <benchmark/benchmark.h>

#include "base/random.h"
#include "base/text.h"
#include "mvcc/watch/lane_watches.h"
#include "mvcc/watch/watch_fakes.h"

namespace keelson::watch {
namespace {

// Takes responses and forgets them.
class Drain final : public WatchSink {
 public:
  void send(Parts response) override { bytes += response.size(); }
  size_t pending_bytes() const override { return 0; }
  size_t bytes = 0;
};

mvcc::EventBatchPtr batch_at(int64_t revision, const std::string& key) {
  auto batch = std::make_shared<mvcc::EventBatch>();
  mvcc::Event event;
  event.revision = {revision, 0};
  std::string kv = "\x0a" + std::string(1, static_cast<char>(key.size())) + key;
  event.kv = Bytes::copy(kv + std::string(256, 'v'));
  event.key = event.kv.view().substr(2, key.size());
  event.create_revision = revision;
  batch->first_revision = batch->last_revision = revision;
  batch->bytes = event.kv.size();
  batch->events.push_back(std::move(event));
  return batch;
}

struct Lane {
  ManualLane lane;
  FakeStore store;
  SeededRandom random{1};
  EventFeed feed{1};
  LaneWatches watches{lane, feed, store, random, WatchOptions{}};
};

// One prefix, range(0) watchers, each on a stream of its own.
void BM_OnePrefix(benchmark::State& state) {
  Lane side;
  std::vector<std::unique_ptr<Drain>> sinks;
  std::vector<std::unique_ptr<WatchStream>> streams;
  for (int64_t i = 0; i < state.range(0); ++i) {
    sinks.push_back(std::make_unique<Drain>());
    streams.push_back(side.watches.open(*sinks.back()));
    streams.back()->create({.key = "/registry/pods/", .range_end = "/registry/pods0"});
  }
  int64_t revision = 1;
  for (auto _ : state) {
    side.feed.publish(batch_at(++revision, "/registry/pods/default/some-pod"));
    side.lane.run();
  }
  state.SetItemsProcessed(side.watches.metrics().events_sent.get());
}
BENCHMARK(BM_OnePrefix)->Arg(1)->Arg(100)->Arg(1000);

// range(0) watchers of as many different ranges, of which one matches.
void BM_ManyRanges(benchmark::State& state) {
  Lane side;
  Drain sink;
  auto stream = side.watches.open(sink);
  for (int64_t i = 0; i < state.range(0); ++i) {
    std::string key = cat("/registry/", i, "/");
    std::string end = cat("/registry/", i, "0");
    stream->create({.key = key, .range_end = end});
  }
  SeededRandom random(2);
  int64_t revision = 1;
  for (auto _ : state) {
    std::string key = cat("/registry/", random.below(static_cast<uint64_t>(state.range(0))), "/x");
    side.feed.publish(batch_at(++revision, key));
    side.lane.run();
  }
  state.SetItemsProcessed(side.watches.metrics().events_sent.get());
}
BENCHMARK(BM_ManyRanges)->Arg(1)->Arg(100)->Arg(10000);

}  // namespace
}  // namespace keelson::watch

BENCHMARK_MAIN();
