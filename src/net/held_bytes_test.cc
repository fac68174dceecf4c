#include "net/held_bytes.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "net/memory_connection.h"
#include "net/test_client.h"
#include "net/test_service.h"

namespace keelson::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::Client;
using test::framed;
using test::request;

constexpr size_t kKb = 1 << 10;
constexpr size_t kMb = 1 << 20;

// Holds what it is told to, each thing since it was told.
class Fake final : private Holder {
 public:
  Fake(const std::shared_ptr<HeldBudget>& budget, Loop* loop, size_t most = SIZE_MAX)
      : loop_(*loop), account_(budget, loop, most, this) {}
  ~Fake() {
    while (!items_.empty()) give_up(HeldSort::kOutgoing, items_.begin()->first);
  }

  void hold(int64_t id, size_t bytes) {
    items_[id] = {id, bytes, loop_.now()};
    account_.change(0, bytes);
  }
  void go_on(int64_t id) { items_[id].since = loop_.now(); }
  bool holds(int64_t id) const { return items_.count(id) > 0; }
  HeldBytes& account() { return account_; }

 private:
  void each_held(HeldSort, absl::FunctionRef<void(const HeldItem&)> visit) const override {
    for (const auto& [id, item] : items_) visit(item);
  }
  void give_up(HeldSort, int64_t id) override {
    account_.change(items_[id].bytes, 0);
    items_.erase(id);
  }

  Loop& loop_;
  HeldBytes account_;
  std::map<int64_t, HeldItem> items_;
};

class HeldBytesTest : public testing::Test {
 protected:
  std::unique_ptr<Fake> somebody(size_t most = SIZE_MAX) {
    return std::make_unique<Fake>(budget_, &loop_, most);
  }
  void run() {
    while (loop_.run_ready() > 0) {
    }
  }
  void wait(Duration time) {
    for (; time > Duration(0); time -= milliseconds(100)) {
      clock_.advance(milliseconds(100));
      run();
    }
  }

  ManualClock clock_;
  Loop loop_{&clock_};
  std::shared_ptr<HeldBudget> budget_ =
      std::make_shared<HeldBudget>(HeldSort::kOutgoing, 100 * kMb, 1);
};

TEST_F(HeldBytesTest, EveryByteCounts) {
  auto one = somebody(), two = somebody();
  one->hold(1, 10);
  two->hold(1, 20 * kKb);
  EXPECT_EQ(budget_->total(), 20 * kKb + 10);
  one.reset();
  EXPECT_EQ(budget_->total(), 20 * kKb);
}

TEST_F(HeldBytesTest, AConnectionHasABoundButForItsOnlyThing) {
  auto one = somebody(kMb);
  EXPECT_TRUE(one->account().admits(3 * kMb));
  one->hold(1, 10);
  EXPECT_FALSE(one->account().admits(kMb));
  EXPECT_TRUE(one->account().admits(kMb / 2));
  EXPECT_FALSE(one->account().change(0, kMb));
  EXPECT_TRUE(one->account().change(kMb, 0));
  EXPECT_EQ(budget_->times_refused(), 2u);
}

TEST_F(HeldBytesTest, WhoAsksForLittleIsRefusedLast) {
  auto many = somebody();
  auto one = somebody();
  many->hold(1, 74 * kMb);
  EXPECT_TRUE(one->account().admits(kMb / 2));
  EXPECT_FALSE(one->account().admits(2 * kMb));
  many->hold(2, 25 * kMb + kMb / 2);
  EXPECT_FALSE(one->account().admits(kMb));
  EXPECT_TRUE(one->account().admits(100 * kKb));
  many->hold(3, kMb);
  EXPECT_FALSE(one->account().admits(100 * kKb));
  EXPECT_TRUE(one->account().admits(10 * kKb));
}

TEST_F(HeldBytesTest, WhatIsLargerThanTheBudgetHasItAlone) {
  auto one = somebody();
  auto other = somebody();
  EXPECT_TRUE(one->account().admits(500 * kMb));
  other->hold(1, 20 * kMb);
  EXPECT_FALSE(one->account().admits(500 * kMb));
  // Whoever is in its way and does not go on, goes.
  wait(seconds(2));
  EXPECT_FALSE(one->account().admits(500 * kMb));
  run();
  EXPECT_FALSE(other->holds(1));
  EXPECT_TRUE(one->account().admits(500 * kMb));
}

TEST_F(HeldBytesTest, WhoDoesNotGoOnGivesUpTheMostFirst) {
  auto small = somebody(), large = somebody(), busy = somebody();
  for (int64_t i = 0; i < 10; ++i) small->hold(i, 100 * kKb);
  for (int64_t i = 0; i < 30; ++i) large->hold(i, i == 7 ? 4 * kMb : kMb);
  busy->hold(1, 20 * kMb);
  wait(seconds(3));
  EXPECT_TRUE(large->holds(7)) << "nobody needs the room";
  busy->go_on(1);
  busy->hold(2, 10 * kMb);
  run();
  EXPECT_FALSE(large->holds(7));
  EXPECT_TRUE(busy->holds(1));
  EXPECT_TRUE(busy->holds(2));
  for (int64_t i = 0; i < 10; ++i) EXPECT_TRUE(small->holds(i));
  EXPECT_LE(budget_->total(), 51 * kMb);
  EXPECT_GE(budget_->total(), 48 * kMb);
}

TEST_F(HeldBytesTest, EveryoneHasASecond) {
  auto one = somebody();
  for (int64_t i = 0; i < 80; ++i) one->hold(i, kMb);
  wait(milliseconds(900));
  auto other = somebody();
  other->hold(1, 100 * kKb);
  run();
  EXPECT_GE(budget_->total(), 80 * kMb);
  wait(milliseconds(300));
  other->hold(2, 100 * kKb);
  run();
  EXPECT_LE(budget_->total(), 50 * kMb);
}

// As TCP has it, a client that takes a byte now and then is there; it holds all the same.
TEST_F(HeldBytesTest, AByteNowAndThenIsNoProgress) {
  HeldPace pace;
  pace.begin(MonotonicTime{seconds(1)});
  for (int i = 0; i < 100; ++i) pace.move(100, MonotonicTime{seconds(2 + i)});
  EXPECT_EQ(pace.since, MonotonicTime{seconds(1)});
  pace.move(60 * kKb, MonotonicTime{seconds(200)});
  EXPECT_EQ(pace.since, MonotonicTime{seconds(200)});
}

TEST_F(HeldBytesTest, LoopsCountTogether) {
  auto budget = std::make_shared<HeldBudget>(HeldSort::kOutgoing, 100 * kMb, 2);
  Loop other("other", 1);
  std::unique_ptr<Fake> there;
  const auto on_the_other = [&](auto what) {
    std::atomic<bool> done{false};
    other.post([&] {
      what();
      done = true;
      done.notify_one();
    });
    done.wait(false);
  };
  on_the_other([&] {
    there = std::make_unique<Fake>(budget, &other);
    there->hold(1, 90 * kMb);
  });
  auto here = std::make_unique<Fake>(budget, &loop_);
  EXPECT_EQ(budget->total(), 90 * kMb);
  EXPECT_FALSE(here->account().admits(5 * kMb));
  on_the_other([&] { there.reset(); });
  EXPECT_TRUE(here->account().admits(5 * kMb));
}

// ---- through sessions

// Answers with a list of its own, of which nothing is shared.
class List final : public UnaryHandler {
 public:
  static constexpr size_t kSize = 4 * kMb;
  void handle(CallRef call, Bytes) override { call->respond(Parts::copy(std::string(kSize, 'l'))); }
};

struct Party {
  Party(MemoryServer<Http2Session>* beside, const Router* router, const ListenerOptions& options)
      : server(beside, router, options), client(&server, 1000, false) {}
  MemoryServer<Http2Session> server;
  Client client;
};

class ManyConnectionsTest : public testing::Test {
 protected:
  ManyConnectionsTest() {
    service_.router.unary("/test.List/Unary", &list_);
    options_.budgets = std::make_shared<HeldBudgets>(1, 20 * kMb, 40 * kMb);
    first_ = std::make_unique<MemoryServer<Http2Session>>(&service_.router, options_);
  }
  std::unique_ptr<Party> somebody() {
    return std::make_unique<Party>(first_.get(), &service_.router, options_);
  }

  TestService service_;
  List list_;
  ListenerOptions options_;
  std::unique_ptr<MemoryServer<Http2Session>> first_;
};

// Each has only one answer, which it does not take.
TEST_F(ManyConnectionsTest, UnreadAnswersHoldABoundedMemory) {
  std::vector<std::unique_ptr<Party>> all;
  size_t most = 0;
  for (int i = 0; i < 100; ++i) {
    all.push_back(somebody());
    all.back()->client.send(request("/test.List/Unary"), framed("x"));
    all.back()->client.exchange();
    first_->advance(milliseconds(300));
    for (auto& one : all) one->server.settle();
    most = std::max(most, options_.budgets->outgoing->total());
  }
  EXPECT_LE(most, 40 * kMb);
  // They do not keep out whoever takes its answer.
  first_->advance(seconds(2));
  MemoryServer<Http2Session> server(first_.get(), &service_.router, options_);
  Client reader(&server, 8 * kMb);
  const int32_t id = reader.send(request("/test.List/Unary"), framed("x"));
  reader.exchange();
  EXPECT_EQ(reader[id].headers["grpc-status"], "0");
}

// One after the other takes a large answer, as fast as it can, while others do not.
TEST_F(ManyConnectionsTest, WhoGoesOnKeepsItsAnswer) {
  std::vector<std::unique_ptr<Party>> stuck;
  auto reader = somebody();
  const int32_t id = reader->client.send(request("/test.List/Unary"), framed("x"));
  reader->client.exchange();
  while (!reader->client[id].closed) {
    if (stuck.size() < 40) {
      stuck.push_back(somebody());
      stuck.back()->client.send(request("/test.List/Unary"), framed("x"));
      stuck.back()->client.exchange();
    }
    const size_t had = reader->client[id].data.size();
    for (int i = 0; i < 70; ++i) {
      reader->client.grant(id, 1000);
      reader->client.exchange();
    }
    ASSERT_GT(reader->client[id].data.size(), had);
    first_->advance(seconds(1));
  }
  EXPECT_EQ(reader->client[id].headers["grpc-status"], "0");
  EXPECT_EQ(reader->client[id].data.size(), List::kSize + 5);
  EXPECT_GT(options_.budgets->outgoing->times_given_up(), 0u);
}

TEST_F(ManyConnectionsTest, HalfRequestsHoldABoundedMemory) {
  std::vector<std::unique_ptr<Party>> all;
  std::vector<int32_t> ids;
  size_t most = 0;
  for (int i = 0; i < 60; ++i) {
    all.push_back(somebody());
    ids.push_back(all.back()->client.send(
        request("/test.Echo/Unary"), framed(std::string(kMb, 'x')).substr(0, kMb - 100), true));
    all.back()->client.exchange();
    first_->advance(milliseconds(100));
    most = std::max(most, options_.budgets->incoming->total());
  }
  EXPECT_LE(most, 21 * kMb);
  all.front()->client.exchange();
  EXPECT_EQ(all.front()->client[ids.front()].headers["grpc-message"],
            "etcdserver: too many requests");
  first_->advance(seconds(2));
  MemoryServer<Http2Session> server(first_.get(), &service_.router, options_);
  Client honest(&server, 4 * kMb);
  const int32_t id =
      honest.send(request("/test.Echo/Unary"), framed(std::string(2 * kMb - 100, 'x')));
  honest.exchange();
  EXPECT_EQ(honest[id].headers["grpc-status"], "0");
}

// A head that never ends is held as well, before there is a stream.
TEST_F(ManyConnectionsTest, HalfHeadsHoldABoundedMemory) {
  std::vector<std::unique_ptr<MemoryServer<Http2Session>>> all;
  test::Headers more;
  const std::string text(15'000, 'm');
  size_t most = 0;
  for (int i = 0; i < 60; ++i) {
    all.push_back(
        std::make_unique<MemoryServer<Http2Session>>(first_.get(), &service_.router, options_));
    std::string bytes =
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + std::string(3, '\0') + std::string("\4\0\0\0\0\0", 6);
    for (int k = 0; k < 60; ++k) {
      // HEADERS, then CONTINUATION: a literal that is not indexed, its value's length in two bytes.
      std::string block = std::string("\0\1x\x7f", 4);
      size_t rest = text.size() - 127;
      for (; rest >= 128; rest >>= 7) block.push_back(static_cast<char>(0x80 | (rest & 0x7f)));
      block.push_back(static_cast<char>(rest));
      block += text;
      bytes += big32(static_cast<uint32_t>(block.size())).substr(1);
      bytes += k == 0 ? '\1' : '\x9';
      bytes += '\0' + std::string("\0\0\0\1", 4) + block;
    }
    all.back()->feed(bytes);
    first_->advance(milliseconds(100));
    most = std::max(most, options_.budgets->incoming->total());
  }
  EXPECT_GT(most, 10 * kMb);
  EXPECT_LE(most, 21 * kMb);
  EXPECT_GT(options_.budgets->incoming->times_given_up(), 5u);
}

TEST_F(ManyConnectionsTest, HalfRequestsOfHttp1HoldABoundedMemory) {
  MemoryServer<Http1Session> first(&service_.router, options_);
  std::vector<std::unique_ptr<MemoryServer<Http1Session>>> all;
  size_t most = 0;
  for (int i = 0; i < 60; ++i) {
    all.push_back(std::make_unique<MemoryServer<Http1Session>>(&first, &service_.router, options_));
    all.back()->feed("GET /health HTTP/1.1\r\nHost: x\r\nA: " + std::string(kMb, 'a'));
    first.advance(milliseconds(100));
    most = std::max(most, options_.budgets->incoming->total());
  }
  EXPECT_GT(most, 10 * kMb);
  EXPECT_LE(most, 21 * kMb);
}

// What the store holds too costs nothing, until nobody can say for how long.
TEST_F(ManyConnectionsTest, ASharedAnswerThatIsNotTakenCountsWhole) {
  class Shared final : public UnaryHandler {
   public:
    void handle(CallRef call, Bytes) override {
      Parts parts;
      parts.add_shared(value);
      call->respond(std::move(parts));
    }
    Bytes value = Bytes::copy(std::string(10 * kMb, 'v'));
  } shared;
  service_.router.unary("/test.Shared/Unary", &shared);
  auto one = somebody();
  const int32_t id = one->client.send(request("/test.Shared/Unary"), framed("x"));
  one->client.exchange();
  EXPECT_LE(options_.budgets->outgoing->total(), kMb + 8 * kKb);
  first_->advance(seconds(3));
  EXPECT_GE(options_.budgets->outgoing->total(), 10 * kMb);
  while (!one->client[id].closed) {
    one->client.grant(id, 1000);
    one->client.exchange();
  }
  EXPECT_EQ(one->client[id].headers["grpc-status"], "0");
  EXPECT_EQ(options_.budgets->outgoing->total(), 0u);
}

}  // namespace
}  // namespace keelson::net
