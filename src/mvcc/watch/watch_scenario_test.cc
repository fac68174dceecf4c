// Runs testdata/*.txt: watch scenarios on one lane. Every command prints what the clients have read
// by then.

#include <gtest/gtest.h>

#include <filesystem>

#include "base/random.h"
#include "base/scenario.h"
#include "mvcc/watch/lane_watches.h"
#include "mvcc/watch/watch_fakes.h"

namespace keelson::watch {
namespace {

using scenario::Command;

class NoJitter final : public Random {
 public:
  uint64_t next() override { return 0; }
};

class World {
 public:
  World() { start({}); }
  ~World() { stop(); }

  std::string run(const Command& c) {
    std::string out = execute(c);
    if (!paused_) settle();
    return out + read_all();
  }

 private:
  struct Client {
    FakeClient sink;
    std::unique_ptr<WatchStream> stream;
    bool slow = false;  // reads only when told
  };

  std::string execute(const Command& c) {
    if (c.name == "new") return start(c);
    if (c.name == "stream") return open(c);
    if (c.name == "close") return clients_.erase(c.text("s")), "";
    if (c.name == "create") return create(c);
    if (c.name == "cancel") return stream(c).cancel(c.number("id")), "";
    if (c.name == "progress") return stream(c).request_progress(), "";
    if (c.name == "refuse") return stream(c).refuse(c.text("reason")), "";
    if (c.name == "txn") return commit(c);
    if (c.name == "publish") return publish(c);
    if (c.name == "reset") return reset();
    if (c.name == "compact") return store_->compact(c.number("rev")), "";
    if (c.name == "fail_reads") return store_->fail_reads(absl::DataLossError("bad block")), "";
    if (c.name == "busy") return store_->refuse_reads_from(c.number("rev")), "";
    if (c.name == "hang") return store_->hold_reads(true), "";
    if (c.name == "unhang") return store_->hold_reads(false), "";
    if (c.name == "evict") return store_->keep_values(false), "";
    if (c.name == "pause") return paused_ = true, "";
    if (c.name == "go") return paused_ = false, "";
    if (c.name == "read") return read_slow(c);
    if (c.name == "advance") return lane_->advance(std::chrono::milliseconds(c.number("ms"))), "";
    if (c.name == "metrics") return metrics();
    return cat("unknown command ", c.name, "\n");
  }

  std::string start(const Command& c) {
    stop();
    WatchOptions options;
    options.cluster = ClusterId(1);
    options.member = MemberId(2);
    options.progress_interval = std::chrono::milliseconds(c.number("progress_ms", 600'000));
    options.fragment_bytes = static_cast<size_t>(c.number("fragment_bytes", 2 << 20));
    options.stream_pending = static_cast<size_t>(c.number("stream_pending", 1 << 20));
    options.slice_bytes = static_cast<size_t>(c.number("slice_bytes", 512 << 10));
    options.window_batches = static_cast<size_t>(c.number("window_batches", 1000));
    options.response_revisions = static_cast<size_t>(c.number("response_revisions", 1000));
    options.response_bytes = static_cast<size_t>(c.number("response_bytes", 1 << 20));
    FeedOptions feed;
    feed.inbox_batches = static_cast<size_t>(c.number("inbox_batches", 64));
    lane_ = std::make_unique<ManualLane>();
    store_ = std::make_unique<FakeStore>();
    feed_ = std::make_unique<EventFeed>(store_->revision(), feed);
    watches_ = std::make_unique<LaneWatches>(*lane_, *feed_, *store_, random_, options);
    paused_ = false;
    return "";
  }

  void stop() {
    clients_.clear();
    watches_.reset();
    feed_.reset();
    lane_.reset();
  }

  void settle() {
    do {
      lane_->run();
    } while (read_fast());
    watches_->check_invariants();
  }

  std::string open(const Command& c) {
    Client& client = clients_[c.text("s")];
    client.stream = watches_->open(client.sink);
    client.slow = c.has("slow");
    return "";
  }

  WatchStream& stream(const Command& c) { return *clients_.at(c.text("s")).stream; }

  std::string create(const Command& c) {
    CreateRequest request;
    std::string key = c.text("key"), end = c.text("end");
    request.key = key;
    request.range_end = end;
    request.start_revision = c.number("rev");
    request.watch_id = c.number("id");
    request.progress_notify = c.has("notify");
    request.prev_kv = c.has("prev_kv");
    request.fragment = c.has("fragment");
    request.no_put = c.has("noput");
    request.no_delete = c.has("nodelete");
    stream(c).create(request);
    return "";
  }

  // txn a=1 b=2 -c: puts a and b, deletes c. With the word "hold" it is not published yet.
  std::string commit(const Command& c) {
    std::vector<Change> changes;
    for (const auto& [key, value] : c.words) {
      if (key == "hold") continue;
      if (key[0] == '-') {
        changes.push_back({key.substr(1), std::nullopt});
      } else {
        changes.push_back({key, value});
      }
    }
    store_->commit(changes);
    return c.has("hold") ? "" : publish(c);
  }

  std::string publish(const Command& c) {
    if (auto batch = store_->take_batch(c.has("forget_prev"))) feed_->publish(batch);
    return "";
  }

  std::string reset() {
    store_->take_batch();
    feed_->reset(store_->revision());
    return "";
  }

  // Reads `n` responses of a slow client.
  std::string read_slow(const Command& c) {
    Client& client = clients_.at(c.text("s"));
    for (int64_t n = c.number("n", 1); n > 0; --n) {
      if (auto response = client.sink.read()) {
        read_ += cat(c.text("s"), ": ", print(*response), "\n");
      }
    }
    client.stream->on_writable();
    return "";
  }

  bool read_fast() {
    bool any = false;
    for (auto& [name, client] : clients_) {
      if (client.slow) continue;
      bool some = false;
      while (auto response = client.sink.read()) {
        read_ += cat(name, ": ", print(*response), "\n");
        some = true;
      }
      if (some) client.stream->on_writable();
      any |= some;
    }
    return any;
  }

  std::string read_all() { return std::exchange(read_, ""); }

  std::string metrics() {
    const WatchMetrics& m = watches_->metrics();
    return cat("streams=", m.streams.get(), " watchers=", m.watchers.get(),
               " slow=", m.slow_watchers.get(), " pending=", m.pending_events.get(),
               " events=", m.events_sent.get(), " responses=", m.responses_sent.get(),
               " window_slices=", m.window_slices.get(), " disk_slices=", m.disk_slices.get(),
               "\n");
  }

  NoJitter random_;
  std::unique_ptr<ManualLane> lane_;
  std::unique_ptr<FakeStore> store_;
  std::unique_ptr<EventFeed> feed_;
  std::unique_ptr<LaneWatches> watches_;
  std::map<std::string, Client> clients_;
  std::string read_;
  bool paused_ = false;
};

TEST(WatchScenario, All) {
  int files = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(KEELSON_SOURCE_DIR "/src/mvcc/watch/testdata")) {
    World world;
    EXPECT_EQ(scenario::run_scenario(entry.path().string(),
                                     [&](const Command& command) { return world.run(command); }),
              "");
    ++files;
  }
  EXPECT_GE(files, 10);
}

}  // namespace
}  // namespace keelson::watch
