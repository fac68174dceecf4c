// The engine's parts on their own: the range index against a plain list, the encoding against bytes
// made by protoc, the window, and the feed's inbox.

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "base/protobuf.h"
#include "base/random.h"
#include "base/test_seeds.h"
#include "mvcc/watch/event_window.h"
#include "mvcc/watch/range_index.h"
#include "mvcc/watch/response.h"
#include "mvcc/watch/slice_events.h"
#include "mvcc/watch/watch_fakes.h"

namespace keelson::watch {
namespace {

std::string hex(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (unsigned char c : bytes) {
    out += kDigits[c >> 4];
    out += kDigits[c & 15];
  }
  return out;
}

std::string random_key(Random& random) {
  std::string key;
  for (uint64_t n = 1 + random.below(3); n > 0; --n)
    key += static_cast<char>('a' + random.below(4));
  return key;
}

WatchedKeys random_range(Random& random) {
  WatchedKeys range;
  range.kind = static_cast<WatchedKeys::Kind>(random.below(3));
  range.begin = random_key(random);
  if (range.kind != WatchedKeys::Kind::kBounded) return range;
  do {
    range.end = random_key(random);
  } while (range.end == range.begin);
  if (range.end < range.begin) std::swap(range.begin, range.end);
  return range;
}

TEST(RangeIndex, AgreesWithList) {
  for_each_seed(20, [](uint64_t seed) {
    SeededRandom random(seed);
    RangeIndex index;
    std::vector<WatchGroup*> held;  // once per obtain()
    for (int i = 0; i < 2000; ++i) {
      if (held.empty() || random.below(100) < (i / 500 % 2 == 0 ? 60u : 40u)) {
        WatchedKeys range = random_range(random);
        held.push_back(&index.obtain(range));
        ASSERT_EQ(held.back()->range, range);
      } else {
        size_t victim = random.below(held.size());
        index.release(*held[victim]);
        held[victim] = held.back();
        held.pop_back();
      }
      std::set<WatchGroup*> groups(held.begin(), held.end());
      ASSERT_EQ(index.size(), groups.size());
      std::string key = random_key(random);
      std::set<WatchGroup*> expected, got;
      for (WatchGroup* group : groups) {
        if (group->range.contains(key)) expected.insert(group);
      }
      index.match(key, [&](WatchGroup& group) { ASSERT_TRUE(got.insert(&group).second); });
      ASSERT_EQ(got, expected) << key;
      if (i % 50 == 0) index.check_invariants();
    }
  });
}

TEST(SliceEvents, AgreesWithList) {
  for_each_seed(200, [](uint64_t seed) {
    SeededRandom random(seed);
    FakeStore store;
    for (uint64_t n = 1 + random.below(40); n > 0; --n) {
      store.commit({{random_key(random), "v"}, {random_key(random) + "x", "v"}});
    }
    Slice slice;
    slice.from = 2;
    slice.through = store.revision();
    slice.events = store.events();
    const auto half = slice.events.begin() + static_cast<ptrdiff_t>(slice.events.size() / 2);
    slice.runs.emplace_back(slice.events.begin(), half);
    slice.runs.emplace_back(half, slice.events.end());
    SliceEvents events(slice);
    for (int i = 0; i < 30; ++i) {
      WatchedKeys range = random_range(random);
      const auto from = static_cast<int64_t>(random.below(45));
      std::vector<const mvcc::Event*> expected;
      for (const mvcc::Event& event : slice.events) {
        if (event.revision.main >= from && range.contains(event.key)) expected.push_back(&event);
      }
      auto found = events.find(range, from);
      ASSERT_EQ(std::vector(found.begin(), found.end()), expected);
    }
  });
}

// Made with: protoc --encode=etcdserverpb.WatchResponse -I proto proto/rpc.proto
TEST(Response, IsWhatProtobufWrites) {
  ResponseHead head;
  head.cluster = ClusterId(0xcdf818194e3a8c32);
  head.member = MemberId(0x8e9e05c52164694d);
  head.term = Term(2);
  head.revision = 300;
  EXPECT_EQ(hex(encode_head(head).view()),
            "0a1b08b298eaf1948386fccd0110cdd2918bd2b881cf8e0118ac022002");
  head.watch_id = kNoWatchId;
  head.created = head.canceled = head.fragment = true;
  head.compact_revision = 7;
  head.cancel_reason = "why";
  EXPECT_EQ(hex(encode_head(head).view()),
            "0a1b08b298eaf1948386fccd0110cdd2918bd2b881cf8e0118ac022002"
            "10ffffffffffffffffff0118012001280732037768793801");
  EXPECT_EQ(encoded_head_size(head), encode_head(head).size());

  FakeStore store;
  store.commit({{"k", "v"}});
  store.commit({{"k", std::nullopt}});
  std::vector<mvcc::Event> events = store.events();
  std::vector<const mvcc::Event*> both = {&events[0], &events[1]};
  Previous previous{.source = &store};
  EventBlock block =
      encode_events(both, {.no_put = false, .no_delete = false, .prev_kv = true}, previous);
  EXPECT_EQ(hex(block.part(0, 1).flat()), "5a0e120c0a016b1002180220012a0176");
  EXPECT_EQ(hex(block.part(1, 2).flat()), "5a17080112050a016b18031a0c0a016b1002180220012a0176");
  EXPECT_EQ(hex(block.part(0, 2).flat()), hex(block.bytes.view()));
}

// The previous values of one revision, by the events' sub-revisions.
class KnownLate final : public LatePrevious {
 public:
  std::vector<Bytes> values;
  size_t most_at_once = 0;

  int64_t revision() const override { return 9; }
  Place place_of(const mvcc::Event& event) const override {
    const auto number = static_cast<size_t>(event.revision.sub);
    return {.number = number, .size = values[number].size()};
  }
  void take(std::vector<size_t> numbers, Done done) override {
    std::vector<Bytes> out;
    size_t bytes = 0;
    for (size_t number : numbers) out.push_back(values[number]);
    for (const Bytes& one : out) bytes += one.size();
    most_at_once = std::max(most_at_once, bytes);
    done(std::move(out));
  }
};

// Whatever of the previous values is long, short, late or not there, and wherever it is cut.
TEST(Response, PartsAreWhatTheyWouldBeInOnePiece) {
  for_each_seed(40, [&](uint64_t seed) {
    SeededRandom random(seed);
    auto late = std::make_shared<KnownLate>();
    std::vector<mvcc::Event> events(1 + random.below(60));
    std::vector<std::string> expected;
    for (mvcc::Event& event : events) {
      event.type = random.below(2) == 0 ? mvcc::EventType::kPut : mvcc::EventType::kDelete;
      event.revision = {9, &event - events.data()};
      event.kv = Bytes::copy(std::string(1 + random.below(100), 'k'));
      constexpr uint64_t kMost[] = {1, 100, 5000, 40'000};
      Bytes previous = Bytes::copy(std::string(random.below(kMost[random.below(4)]), 'p'));
      std::string body;
      pb::append_varint_field(body, 1, static_cast<uint64_t>(event.type));
      pb::append_bytes_field(body, 2, event.kv);
      if (!previous.empty()) pb::append_bytes_field(body, 3, previous);
      pb::append_bytes_field(expected.emplace_back(), 11, body);
      late->values.push_back(previous);
      if (random.below(3) == 0) event.prev_kv = previous;
    }
    std::vector<const mvcc::Event*> all;
    for (const mvcc::Event& event : events) all.push_back(&event);
    Previous previous{.late = late};
    const EventBlock block =
        encode_events(all, {.no_put = false, .no_delete = false, .prev_kv = true}, previous);
    ASSERT_EQ(block.size(), events.size());
    for (int i = 0; i < 20; ++i) {
      const size_t first = random.below(events.size());
      const size_t last = first + 1 + random.below(events.size() - first);
      std::string whole;
      for (size_t at = first; at < last; ++at) whole += expected[at];
      EXPECT_EQ(block.ends[last - 1] - block.begin_of(first), whole.size());
      Parts parts = block.part(first, last);
      EXPECT_EQ(parts.size(), whole.size());
      FakeClient client;
      client.send(std::move(parts));
      EXPECT_EQ(client.last(), whole);
    }
    // A chunk, and the value that fills it.
    EXPECT_LT(late->most_at_once, 110'000u);
  });
}

mvcc::EventBatchPtr batch_of(int64_t first, int64_t last, size_t bytes = 10) {
  auto batch = std::make_shared<mvcc::EventBatch>();
  batch->first_revision = first;
  batch->last_revision = last;
  batch->bytes = bytes;
  for (int64_t at = first; at <= last; ++at) {
    mvcc::Event event;
    event.revision = {at, 0};
    batch->events.push_back(event);
    event.revision = {at, 1};
    batch->events.push_back(event);
  }
  return batch;
}

TEST(EventWindow, KeepsTheNewest) {
  EventWindow window(1 << 20, 3);
  EXPECT_FALSE(window.covers(1));
  window.add(batch_of(5, 6));
  window.add(batch_of(7, 9));
  window.add(batch_of(10, 10));
  window.add(batch_of(11, 12));
  EXPECT_EQ(window.first_revision(), 7);
  EXPECT_EQ(window.last_revision(), 12);
  EXPECT_FALSE(window.covers(6));
  EXPECT_FALSE(window.covers(13));

  // From within a batch; the slice says what it covers and holds nothing older.
  Slice slice = window.slice(8, 15);
  EXPECT_EQ(slice.from, 8);
  EXPECT_EQ(slice.through, 10);
  ASSERT_EQ(slice.runs.size(), 2u);
  EXPECT_EQ(slice.runs[0].size(), 4u);
  EXPECT_EQ(slice.runs[0].front().revision.main, 8);
  EXPECT_EQ(window.slice(8, 1).through, 9);
  EXPECT_EQ(window.slice(12, 100).through, 12);

  // A batch larger than the window is kept alone.
  EventWindow small(1, 100);
  small.add(batch_of(1, 1));
  small.add(batch_of(2, 5));
  EXPECT_EQ(small.first_revision(), 2);
}

TEST(EventFeed, WakesOncePerLookAndOnlyTheInterested) {
  ManualLane lane;
  EventFeed feed(1, {.inbox_batches = 4, .inbox_bytes = 1000});
  int wakes = 0;
  auto inbox = feed.subscribe(lane, [&] { ++wakes; });
  feed.publish(batch_of(2, 2));
  feed.publish(batch_of(3, 3));
  lane.run();
  EXPECT_EQ(wakes, 0);
  // More than half full: it is time to look all the same.
  feed.publish(batch_of(4, 4));
  lane.run();
  EXPECT_EQ(wakes, 1);
  for (int64_t at = 2; at <= 4; ++at) EXPECT_EQ(inbox->pop()->first_revision, at);
  EXPECT_EQ(inbox->pop(), nullptr);

  inbox->set_interested(true);
  feed.publish(batch_of(5, 5));
  feed.publish(batch_of(6, 6));
  lane.run();
  EXPECT_EQ(wakes, 2);
  feed.publish(batch_of(7, 8));
  feed.publish(batch_of(9, 9));
  feed.publish(batch_of(10, 10));  // no room
  lane.run();
  EXPECT_EQ(wakes, 3);
  for (int64_t at : {5, 6, 7, 9}) EXPECT_EQ(inbox->pop()->first_revision, at);
  EXPECT_EQ(inbox->pop(), nullptr);
  EXPECT_EQ(feed.revision(), 10);

  // One batch above the limit in bytes is let in alone.
  feed.publish(batch_of(11, 11, 5000));
  feed.publish(batch_of(12, 12));
  EXPECT_EQ(inbox->pop()->first_revision, 11);
  EXPECT_EQ(inbox->pop(), nullptr);

  lane.run();
  inbox->close();
  feed.publish(batch_of(13, 13));
  lane.run();
  EXPECT_EQ(wakes, 4);
}

}  // namespace
}  // namespace keelson::watch
