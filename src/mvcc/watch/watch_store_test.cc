// The watch engine on the real store: what watchers are sent out of the store's history, whatever
// was compacted and evicted meanwhile, is what was published when it happened.

#include <gtest/gtest.h>

#include <map>

#include "backend/memory_backend.h"
#include "base/check.h"
#include "base/random.h"
#include "base/test_seeds.h"
#include "base/text.h"
#include "mvcc/store.h"
#include "mvcc/watch/lane_watches.h"
#include "mvcc/watch/read_history.h"
#include "mvcc/watch/watch_fakes.h"

namespace keelson::watch {
namespace {

// Reads when it is told to.
class StoreSource final : public WatchSource {
 public:
  explicit StoreSource(mvcc::Store& store)
      : store_(store), slot_(store.register_reader()), elsewhere_(store.register_reader()) {}
  int64_t compact_revision() const override { return store_.compact_revision(); }
  void read(HistoryRequest request, Done done) override {
    CHECK(!request_);
    request_ = std::move(request);
    done_ = std::move(done);
  }
  std::optional<Bytes> previous_in_memory(const mvcc::Event& event) override {
    return store_.previous_kv_in_memory(*slot_, event);
  }
  Term raft_term() const override { return Term(1); }

  int64_t times_late = 0;
  // Somebody has what the last read found to be too long.
  bool late_is_held() const { return !late_.expired(); }

  bool finish_read() {
    if (!request_) return false;
    auto slice = read_history(store_, *elsewhere_, *std::exchange(request_, std::nullopt),
                              [](absl::AnyInvocable<void()> task) { task(); });
    if (slice.ok() && slice->late) {
      ++times_late;
      late_ = slice->late;
    }
    std::exchange(done_, nullptr)(std::move(slice));
    return true;
  }

 private:
  mvcc::Store& store_;
  std::unique_ptr<mvcc::ReaderSlot> slot_;
  std::unique_ptr<mvcc::ReaderSlot> elsewhere_;
  std::optional<HistoryRequest> request_;
  Done done_;
  std::weak_ptr<LatePrevious> late_;
};

// A change as the test itself made it.
struct Made {
  std::string key, value, prev_value;
  bool put = true;
  int64_t revision = 0, prev_revision = 0;  // 0: no previous value
  bool create = false;
};

struct Watching {
  FakeClient client;
  std::unique_ptr<WatchStream> stream;
  int64_t start = 0;
  std::string key;  // empty: all
  bool prev_kv = true;
  size_t next = 0;  // in the list of changes
  bool gone = false;
};

class World {
 public:
  explicit World(uint64_t seed) : random_(seed), engine_random_(seed) {
    mvcc::StoreOptions store_options;
    store_options.value_memory = random_.below(2) * (1 << 20);  // half the runs keep no values
    auto opened = mvcc::Store::open(&backend_, store_options);
    CHECK(opened.ok());
    store_ = std::move(*opened);
    source_ = std::make_unique<StoreSource>(*store_);
    WatchOptions options;
    options.window_batches = 1 + random_.below(30);
    options.slice_bytes = 1 << random_.below(12);
    options.previous_bytes = random_.below(2) == 0 ? options.previous_bytes : random_.below(200);
    options.fragment_bytes = 100 << random_.below(8);
    options.stream_pending = 200 << random_.below(6);
    feed_ = std::make_unique<EventFeed>(store_->revision());
    watches_ = std::make_unique<LaneWatches>(lane_, *feed_, *source_, engine_random_, options);
  }

  void step() {
    switch (random_.below(9)) {
      case 0:
        return watch();
      case 8:
        if (random_.below(4) == 0) leave();
        return rest();
      case 1:
        if (random_.below(10) == 0) compact();
        return;
      case 2:
      case 3:
        return read_some();
      case 4:
        if (random_.below(2) == 0) source_->finish_read();
        lane_.step();
        return;
      default:
        return write();
    }
  }

  // Nobody is served any more: all that still lag have stalled, or wait for a read. Clients have in
  // one piece what they were sent, so what comes late would be held for nobody.
  void rest() {
    lane_.run();
    EXPECT_FALSE(source_->late_is_held());
  }

  void settle() {
    lane_.run();
    for (bool more = true; more;) {
      more = source_->finish_read();
      lane_.run();
      for (auto& one : watching_) more |= read(*one, 1000);
      lane_.run();
    }
    for (auto& one : watching_) {
      if (one->gone) continue;
      ASSERT_EQ(seek(*one), made_.size()) << "from " << one->start;
    }
    watching_.clear();
  }

  int64_t checked() const { return checked_; }
  int64_t times_late() const { return source_->times_late; }

 private:
  std::string any_key() { return cat("key", random_.below(10)); }

  // One apply batch of a few transactions.
  void write() {
    for (uint64_t txns = 1 + random_.below(3); txns > 0; --txns) {
      mvcc::WriteTxn txn = store_->begin();
      std::map<std::string, bool> touched;
      for (uint64_t n = 1 + random_.below(3); n > 0; --n) {
        std::string key = any_key();
        if (touched[key]) continue;
        touched[key] = true;
        change(txn, key);
      }
    }
    auto batch = store_->publish(Index(++index_), Term(1));
    ASSERT_TRUE(batch.ok()) << batch.status();
    if (*batch) feed_->publish(*batch);
    store_->compact_step(5);
  }

  void change(mvcc::WriteTxn& txn, const std::string& key) {
    auto& [value, revision] = live_[key];
    Made made{.key = key,
              .value = "",
              .prev_value = value,
              .put = random_.below(3) > 0,
              .revision = 0,
              .prev_revision = revision,
              .create = revision == 0};
    if (made.put) {
      made.value = std::string(1 + random_.below(random_.below(20) == 0 ? 9000 : 50),
                               static_cast<char>('a' + random_.below(26)));
      auto put = txn.put({.key = key, .value = made.value, .lease = {}});
      ASSERT_TRUE(put.ok()) << put.status();
      made.revision = put->revision;
      value = made.value;
      revision = made.revision;
    } else {
      if (revision == 0) return;
      auto deleted = txn.delete_range(key, "");
      ASSERT_TRUE(deleted.ok()) << deleted.status();
      made.revision = deleted->revision;
      value.clear();
      revision = 0;
    }
    made_.push_back(made);
  }

  void compact() {
    int64_t low = std::max<int64_t>(store_->compact_revision(), 0) + 1;
    if (store_->revision() < low) return;
    int64_t at = low + static_cast<int64_t>(
                           random_.below(static_cast<uint64_t>(store_->revision() - low + 1)));
    ASSERT_TRUE(store_->compact(at).ok());
    write();  // publishes the compaction
  }

  void watch() {
    if (watching_.size() >= 12) return;
    auto one = std::make_unique<Watching>();
    one->stream = watches_->open(one->client);
    one->start = std::max<int64_t>(store_->compact_revision(), 1);
    one->start += static_cast<int64_t>(
        random_.below(static_cast<uint64_t>(store_->revision() - one->start + 2)));
    if (random_.below(2) == 0) one->key = any_key();
    CreateRequest request;
    request.key = one->key;
    if (one->key.empty()) request.range_end = std::string_view("\0", 1);
    request.start_revision = one->start;
    request.prev_kv = random_.below(4) > 0;
    one->prev_kv = request.prev_kv;
    request.fragment = random_.below(2) == 0;
    one->stream->create(request);
    watching_.push_back(std::move(one));
  }

  void leave() {
    if (watching_.empty()) return;
    watching_.erase(watching_.begin() + static_cast<ptrdiff_t>(random_.below(watching_.size())));
  }

  void read_some() {
    if (!watching_.empty()) {
      read(*watching_[random_.below(watching_.size())], 1 + random_.below(4));
    }
  }

  bool read(Watching& one, uint64_t most) {
    bool any = false;
    for (; most > 0; --most) {
      auto response = one.client.read();
      if (!response) break;
      any = true;
      if (response->compact_revision != 0) one.gone = true;
      for (const Response::Event& event : response->events) check(one, event);
    }
    one.stream->on_writable();
    return any;
  }

  // Its next event among the changes.
  size_t seek(Watching& one) const {
    while (one.next < made_.size() && (made_[one.next].revision < one.start ||
                                       (!one.key.empty() && made_[one.next].key != one.key))) {
      ++one.next;
    }
    return one.next;
  }

  void check(Watching& one, const Response::Event& got) {
    ASSERT_LT(seek(one), made_.size());
    const Made& made = made_[one.next++];
    ASSERT_EQ(got.key, made.key);
    ASSERT_EQ(got.put, made.put);
    ASSERT_EQ(got.mod_revision, made.revision);
    ASSERT_EQ(got.value, made.value);
    bool prev = one.prev_kv && made.prev_revision != 0 && !made.create;
    if (got.has_prev) {
      ASSERT_TRUE(prev);
      ASSERT_EQ(got.prev_value, made.prev_value);
      ASSERT_EQ(got.prev_mod_revision, made.prev_revision);
    } else if (prev) {
      ASSERT_LT(made.revision - 1, store_->compact_revision());  // gone, as in etcd
    }
    ++checked_;
  }

  SeededRandom random_, engine_random_;
  backend::MemoryBackend backend_;
  std::unique_ptr<mvcc::Store> store_;
  std::unique_ptr<StoreSource> source_;
  ManualLane lane_;
  std::unique_ptr<EventFeed> feed_;
  std::unique_ptr<LaneWatches> watches_;
  std::vector<std::unique_ptr<Watching>> watching_;
  uint64_t index_ = 0;
  std::vector<Made> made_;
  std::map<std::string, std::pair<std::string, int64_t>> live_;  // value, mod revision
  int64_t checked_ = 0;
};

TEST(WatchStore, HistoryIsWhatHappened) {
  int64_t checked = 0, late = 0;
  for_each_seed({.count = 40, .also = {587}}, [&](uint64_t seed) {
    World world(seed);
    for (int i = 0; i < 1500 && !HasFailure(); ++i) {
      world.step();
      if (i % 300 == 299) world.settle();
    }
    checked += world.checked();
    late += world.times_late();
  });
  std::cout << checked << " events checked, " << late << " revisions read while they were sent\n";
  if (seeds_are_the_usual()) {
    EXPECT_GT(checked, 10'000);
    EXPECT_GT(late, 100);
  }
}

}  // namespace
}  // namespace keelson::watch
