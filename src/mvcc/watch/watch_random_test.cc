// Random histories, requests, stalls, compactions and gaps on one lane. A model knows, from the
// list of all events, what each watcher must see next, and checks every response as the client
// reads it.

#include <gtest/gtest.h>

#include <deque>
#include <map>

#include "base/check.h"
#include "base/random.h"
#include "base/test_seeds.h"
#include "base/text.h"
#include "mvcc/watch/lane_watches.h"
#include "mvcc/watch/watch_fakes.h"

namespace keelson::watch {
namespace {

// What a client asked for, and how far it has got.
struct Expectation {
  CreateRequest request;
  std::string key, range_end;
  int64_t id = 0;
  bool refused = false;
  bool created = false, gone = false;
  int64_t first = 0;  // first revision it must see
  size_t next = 0;    // in the list of all events

  bool wants(const mvcc::Event& event) const {
    bool put = event.type == mvcc::EventType::kPut;
    if (put ? request.no_put : request.no_delete) return false;
    if (event.revision.main < first) return false;
    if (range_end.empty()) return event.key == key;
    if (event.key < key) return false;
    return range_end == std::string(1, '\0') || event.key < range_end;
  }
};

// Fails if the engine sends events to a client that has too much already.
class LimitedClient final : public WatchSink {
 public:
  explicit LimitedClient(size_t limit) : limit_(limit) {}
  void send(Parts response) override {
    Response decoded = decode_response(response.flat());
    if (!decoded.events.empty() && !in_fragments_) CHECK(pending_bytes() <= limit_);
    in_fragments_ = decoded.fragment;
    client_.send(std::move(response));
  }
  size_t pending_bytes() const override { return client_.pending_bytes(); }
  std::optional<Response> read() { return client_.read(); }

 private:
  const size_t limit_;
  bool in_fragments_ = false;
  FakeClient client_;
};

class World {
 public:
  explicit World(uint64_t seed) : random_(seed), engine_random_(seed + 1) {
    options_.cluster = ClusterId(5);
    options_.member = MemberId(6);
    options_.progress_interval = Duration(1000);
    options_.stream_pending = 40 << random_.below(8);
    options_.read_again = Duration(100);
    options_.slice_bytes = 1 << random_.below(12);
    options_.window_batches = 1 + random_.below(40);
    options_.window_bytes = 1000 << random_.below(8);
    options_.response_bytes = 1 << random_.below(12);
    options_.response_revisions = 1 + random_.below(20);
    options_.turn_watchers = 1 << random_.below(8);
    options_.stream_watchers = 1 << random_.below(6);
    options_.fragment_bytes = 50 + random_.below(300);
    FeedOptions feed;
    feed.inbox_batches = 1 << random_.below(6);
    feed.inbox_bytes = 200 << random_.below(8);
    feed_ = std::make_unique<EventFeed>(store_.revision(), feed);
    watches_ = std::make_unique<LaneWatches>(lane_, *feed_, store_, engine_random_, options_);
    clients_.resize(1 + random_.below(4));
    for (Client& client : clients_) open(client);
  }

  void step() {
    Client& client = clients_[random_.below(clients_.size())];
    switch (random_.below(16)) {
      case 0:
      case 1:
      case 2:
      case 3:
        commit();
        if (random_.below(3) > 0) publish();
        break;
      case 4:
        if (random_.below(10) == 0) reset();
        break;
      case 5:
        if (random_.below(4) == 0) compact();
        break;
      case 6:
      case 7:
        create(client);
        break;
      case 8:
        cancel(client);
        break;
      case 9:
        client.stream->request_progress();
        break;
      case 10:
        if (random_.below(20) == 0) open(client);
        break;
      case 11:
        if (random_.below(4) == 0) store_.keep_values(random_.below(2) == 0);
        if (random_.below(4) == 0) store_.hold_reads(random_.below(2) == 0);
        if (random_.below(2) == 0) refuse_reads();
        lane_.advance(Duration(random_.below(400)));
        break;
      case 12:
      case 13:
        read(client, 1 + random_.below(6));
        break;
      case 14:
        store_.finish_read();
        break;
      default:
        for (uint64_t n = 1 + random_.below(5); n > 0; --n) lane_.step();
    }
    watches_->check_invariants();
  }

  // Everybody reads everything; then nobody may miss anything.
  void settle() {
    publish();
    store_.hold_reads(false);
    store_.refuse_reads_from(0);
    lane_.run();
    lane_.advance(options_.read_again);
    lane_.run();
    for (bool more = true; more;) {
      more = false;
      for (Client& client : clients_) more |= read(client, 1000) > 0;
      lane_.run();
    }
    watches_->check_invariants();
    for (Client& client : clients_) {
      ASSERT_EQ(client.stream->watchers(), client.ids.size());
      for (auto& [id, watcher] : client.watchers) {
        if (!watcher.gone) expect_complete(watcher, feed_->revision());
      }
    }
    ASSERT_EQ(watches_->metrics().slow_watchers.get(), 0);
    ASSERT_EQ(watches_->metrics().pending_events.get(), 0);
  }

  int64_t events_checked() const { return events_checked_; }
  const WatchMetrics& metrics() const { return watches_->metrics(); }

 private:
  struct Client {
    std::unique_ptr<LimitedClient> sink;
    std::unique_ptr<WatchStream> stream;
    std::map<int64_t, bool> ids;  // in use, as of the requests made
    int64_t next_id = 0;
    std::deque<Expectation> requested;  // creates whose answer has not been read
    std::map<int64_t, Expectation> watchers;
    int64_t fragment_of = 0;
    bool in_fragments = false;
  };

  void open(Client& client) {
    client = Client{};
    client.sink = std::make_unique<LimitedClient>(options_.stream_pending);
    client.stream = watches_->open(*client.sink);
  }

  void refuse_reads() {
    const int64_t low = std::max<int64_t>(store_.compact_revision(), 1);
    const auto span = static_cast<uint64_t>(store_.revision() - low + 1);
    store_.refuse_reads_from(
        random_.below(3) == 0 ? 0 : low + static_cast<int64_t>(random_.below(span)));
  }

  std::string any_key() { return std::string(1, static_cast<char>('a' + random_.below(8))); }

  void commit() {
    std::map<std::string, Change> changes;  // no key twice
    for (uint64_t n = 1 + random_.below(4); n > 0; --n) {
      std::string key = any_key();
      Change change{key, std::string(1 + random_.below(60), 'v')};
      if (random_.below(3) == 0) change.value.reset();
      changes[key] = change;
    }
    std::vector<Change> list;
    for (auto& [key, change] : changes) list.push_back(change);
    store_.commit(list);
    all_ = store_.events();
  }

  void publish() {
    if (auto batch = store_.take_batch(random_.below(2) == 0)) feed_->publish(batch);
  }

  void reset() {
    store_.take_batch();
    feed_->reset(store_.revision());
  }

  void compact() {
    int64_t low = std::max<int64_t>(store_.compact_revision(), 0) + 1;
    if (feed_->revision() < low) return;
    auto span = static_cast<uint64_t>(feed_->revision() - low + 1);
    // Mostly the older part, as compactions do.
    store_.compact(low + static_cast<int64_t>(std::min(random_.below(span), random_.below(span))));
  }

  void create(Client& client) {
    Expectation e;
    e.key = any_key();
    if (random_.below(3) > 0) {
      e.range_end = random_.below(4) == 0 ? std::string(1, '\0') : any_key();
    }
    int64_t now = store_.revision();
    e.request.start_revision =
        random_.below(2) == 0
            ? 0
            : static_cast<int64_t>(random_.below(static_cast<uint64_t>(now) + 4)) -
                  (random_.below(20) == 0 ? 3 : 0);
    e.request.watch_id = static_cast<int64_t>(random_.below(8));
    e.request.no_put = random_.below(5) == 0;
    e.request.no_delete = random_.below(5) == 0;
    e.request.prev_kv = random_.below(2) == 0;
    e.request.fragment = random_.below(3) == 0;
    e.request.progress_notify = random_.below(2) == 0;
    CreateRequest request = e.request;
    request.key = e.key;
    request.range_end = e.range_end;
    bool bad_range = e.range_end.size() == 1 && e.range_end[0] != '\0' && e.key >= e.range_end;
    e.refused = request.start_revision < 0 || bad_range ||
                (request.watch_id != 0 && client.ids.contains(request.watch_id));
    if (!e.refused) {
      e.id = request.watch_id;
      if (e.id == 0) {
        while (client.ids.contains(client.next_id)) ++client.next_id;
        e.id = client.next_id++;
      }
      client.ids[e.id] = true;
    }
    client.requested.push_back(e);
    client.stream->create(request);
  }

  void cancel(Client& client) {
    int64_t id = static_cast<int64_t>(random_.below(8));
    client.ids.erase(id);
    client.stream->cancel(id);
  }

  size_t read(Client& client, uint64_t most) {
    size_t count = 0;
    for (; count < most; ++count) {
      auto response = client.sink->read();
      if (!response) break;
      check(client, *response);
    }
    client.stream->on_writable();
    return count;
  }

  void check(Client& client, const Response& response) {
    SCOPED_TRACE(print(response));
    ASSERT_EQ(response.cluster, 5u);
    ASSERT_EQ(response.member, 6u);
    ASSERT_EQ(response.term, 3u);
    if (client.in_fragments) {
      ASSERT_EQ(response.watch_id, client.fragment_of);
    }
    client.in_fragments = response.fragment;
    client.fragment_of = response.watch_id;
    if (response.created) return check_created(client, response);
    if (response.watch_id == -1) {
      ASSERT_TRUE(response.events.empty());
      for (auto& [id, watcher] : client.watchers) check_progress(watcher, response.revision);
      return;
    }
    auto it = client.watchers.find(response.watch_id);
    ASSERT_TRUE(it != client.watchers.end()) << "a response without a watcher";
    Expectation& watcher = it->second;
    if (response.compact_revision != 0) {
      ASSERT_TRUE(response.canceled);
      ASSERT_EQ(response.revision, 0);
      ASSERT_LE(response.compact_revision, store_.compact_revision());
      ASSERT_FALSE(watcher.gone);
      // It had not been shown everything below the compact revision.
      ASSERT_LT(watcher.first, response.compact_revision);
      watcher.gone = true;
    } else if (response.canceled) {
      client.watchers.erase(it);
    } else if (response.events.empty()) {
      ASSERT_TRUE(watcher.request.progress_notify);
      check_progress(watcher, response.revision);
    } else {
      check_events(watcher, response);
    }
  }

  void check_created(Client& client, const Response& response) {
    ASSERT_FALSE(client.requested.empty());
    Expectation watcher = client.requested.front();
    client.requested.pop_front();
    ASSERT_EQ(response.canceled, watcher.refused);
    ASSERT_EQ(response.cancel_reason.empty(), !watcher.refused);
    ASSERT_EQ(response.watch_id, watcher.refused ? -1 : watcher.id);
    if (watcher.refused) return;
    int64_t start = watcher.request.start_revision;
    watcher.first = start > 0 ? start : response.revision + 1;
    client.watchers[watcher.id] = watcher;
  }

  void check_progress(const Expectation& watcher, int64_t revision) {
    ASSERT_FALSE(watcher.gone);
    ASSERT_GE(revision, watcher.request.start_revision);
    expect_complete(watcher, revision);
  }

  // Nothing up to `revision` is still to come.
  void expect_complete(const Expectation& watcher, int64_t revision) {
    for (size_t i = watcher.next; i < all_.size() && all_[i].revision.main <= revision; ++i) {
      ASSERT_FALSE(watcher.wants(all_[i])) << "watcher " << watcher.id << " has not seen "
                                           << all_[i].key << "@" << all_[i].revision.main;
    }
  }

  void check_events(Expectation& watcher, const Response& response) {
    ASSERT_FALSE(watcher.gone);
    ASSERT_TRUE(watcher.request.fragment || !response.fragment);
    for (const Response::Event& event : response.events) {
      while (watcher.next < all_.size() && !watcher.wants(all_[watcher.next])) ++watcher.next;
      ASSERT_LT(watcher.next, all_.size()) << "an event that did not happen";
      check_event(watcher, event, all_[watcher.next++]);
      if (HasFatalFailure()) return;
      ++events_checked_;
    }
    ASSERT_GE(response.revision, response.events.back().mod_revision);
    // All of a revision comes in one response, and the header promises no more than was sent.
    if (!response.fragment) expect_complete(watcher, response.revision);
    if (watcher.request.fragment && response.events.size() > 1) {
      ASSERT_LT(response.size, options_.fragment_bytes);
    }
  }

  static bool HasFatalFailure() { return ::testing::Test::HasFatalFailure(); }

  void check_event(const Expectation& watcher, const Response::Event& got,
                   const mvcc::Event& expected) {
    ASSERT_EQ(got.key, expected.key);
    ASSERT_EQ(got.mod_revision, expected.revision.main);
    ASSERT_EQ(got.put, expected.type == mvcc::EventType::kPut);
    ASSERT_EQ(got.create_revision, expected.create_revision);
    bool prev = watcher.request.prev_kv && !expected.is_create();
    // What a compaction took away does not come, even if it is still in memory somewhere.
    if (prev && !got.has_prev) {
      ASSERT_LT(expected.revision.main - 1, store_.compact_revision());
      return;
    }
    ASSERT_EQ(got.has_prev, prev);
    ASSERT_EQ(got.prev_mod_revision, prev ? expected.prev_revision.main : 0);
  }

  SeededRandom random_, engine_random_;
  WatchOptions options_;
  ManualLane lane_;
  FakeStore store_;
  std::unique_ptr<EventFeed> feed_;
  std::unique_ptr<LaneWatches> watches_;
  std::vector<Client> clients_;
  std::vector<mvcc::Event> all_;
  int64_t events_checked_ = 0;
};

struct Seen {
  int64_t events = 0, disk = 0, window = 0;
};

void run(uint64_t seed, int steps, int settle_every, Seen* seen) {
  World world(seed);
  for (int i = 1; i <= steps; ++i) {
    world.step();
    if (i % settle_every == 0) world.settle();
    if (::testing::Test::HasFatalFailure()) return;
  }
  seen->events += world.events_checked();
  seen->disk += world.metrics().disk_slices.get();
  seen->window += world.metrics().window_slices.get();
}

TEST(WatchRandom, EveryWatcherSeesItsEvents) {
  Seen seen;
  uint64_t histories = 0;
  for_each_seed(120, [&](uint64_t seed) {
    run(seed, 1500, 500, &seen);
    ++histories;
  });
  std::cout << seen.events << " events checked, " << seen.window << " slices from windows, "
            << seen.disk << " from disk\n";
  if (histories < 120) return;
  EXPECT_GT(seen.events, 30'000);
  EXPECT_GT(seen.disk, 1000);
  EXPECT_GT(seen.window, 1000);
}

// Many of them, each over quickly.
TEST(WatchRandom, ShortHistories) {
  Seen seen;
  for_each_seed(Seeds{.count = 300, .first = 1001},
                [&](uint64_t seed) { run(seed, 300, 100, &seen); });
}

}  // namespace
}  // namespace keelson::watch
