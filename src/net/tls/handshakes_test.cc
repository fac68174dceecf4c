// Who is served when, and who is put out, without any TLS.

#include "net/tls/handshakes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/clock.h"

namespace keelson::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class TestClock final : public Clock {
 public:
  MonotonicTime now() const override { return {Duration(now_.load())}; }
  Duration unix_time() const override { return Duration(now_.load()); }
  void advance(Duration by) { now_ += by.count(); }

 private:
  std::atomic<int64_t> now_{Duration(std::chrono::hours(1)).count()};
};

// What the steps have done, and a door that holds the worker.
class Record {
 public:
  void shut() { set(false); }
  void open() { set(true); }
  void pass(const std::string& name) {
    std::unique_lock lock(mutex_);
    ++at_door_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
    ran_.push_back(name);
    changed_.notify_all();
  }
  void put_out(const std::string& name) {
    std::lock_guard lock(mutex_);
    out_.push_back(name);
    changed_.notify_all();
  }
  size_t at_door() {
    std::lock_guard lock(mutex_);
    return at_door_;
  }
  void until_at_door(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return at_door_ >= count; });
  }
  std::vector<std::string> until_ran(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return ran_.size() >= count; });
    return ran_;
  }
  std::vector<std::string> until_out(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return out_.size() >= count; });
    return out_;
  }

 private:
  void set(bool open) {
    std::lock_guard lock(mutex_);
    open_ = open;
    changed_.notify_all();
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = true;
  size_t at_door_ = 0;
  std::vector<std::string> ran_, out_;
};

class Step final : public HandshakeStep {
 public:
  Step(Record* record, std::string name) : record_(*record), name_(std::move(name)) {}
  void run_step(bool ask) override { record_.pass(ask ? "ask " + name_ : name_); }
  void put_out() override { record_.put_out(name_); }

 private:
  Record& record_;
  const std::string name_;
};

class HandshakesTest : public testing::Test {
 protected:
  void make(size_t most = TlsHandshakes::kMost) {
    pool_ = std::make_unique<TlsHandshakes>(1, most, &clock_);
  }
  using Newcomer = TlsHandshakes::Newcomer;
  Step* begin(const std::string& name, uint64_t source, Newcomer newcomer = Newcomer::kProven) {
    Step* step = &steps_.emplace_back(&record_, name);
    pool_->begin(step, source, newcomer);
    return step;
  }
  // The worker is busy from here on.
  Step* hold() {
    record_.shut();
    const size_t before = record_.at_door();
    Step* step = begin("held", 99);
    record_.until_at_door(before + 1);
    return step;
  }
  void TearDown() override {
    record_.open();
    for (Step& step : steps_) pool_->end(&step);
    pool_.reset();
  }

  TestClock clock_;
  Record record_;
  std::list<Step> steps_;
  std::unique_ptr<TlsHandshakes> pool_;
};

using Names = std::vector<std::string>;

TEST_F(HandshakesTest, AFloodFromOnePlaceCostsAnotherOneTurn) {
  make();
  hold();
  for (int i = 0; i < 500; ++i) begin("flood", 1);
  begin("other", 2);
  begin("third", 3);
  record_.open();
  const Names ran = record_.until_ran(6);
  EXPECT_EQ(Names(ran.begin(), ran.begin() + 6),
            (Names{"held", "flood", "other", "third", "flood", "flood"}));
}

TEST_F(HandshakesTest, OfOnePlaceTheNewestBegins) {
  make();
  hold();
  for (int i = 0; i < 3; ++i) begin(std::to_string(i), 1);
  record_.open();
  EXPECT_EQ(record_.until_ran(4), (Names{"held", "2", "1", "0"}));
}

TEST_F(HandshakesTest, WhoGoesOnIsFirst) {
  make();
  Step* known = begin("known", 1);
  record_.until_ran(1);
  pool_->stall(known);
  hold();
  for (int i = 0; i < 10; ++i) begin("flood", 1);
  pool_->resume(known, /*heard=*/true);
  record_.open();
  const Names ran = record_.until_ran(4);
  EXPECT_EQ(Names(ran.begin(), ran.begin() + 3), (Names{"known", "held", "known"}));
}

TEST_F(HandshakesTest, WhoseTurnDoesNotComeHasToComeAgain) {
  make();
  hold();
  begin("early", 1);
  clock_.advance(seconds(1));
  begin("late", 1);
  clock_.advance(TlsHandshakes::kLongestWait - milliseconds(900));
  record_.open();
  EXPECT_EQ(record_.until_out(1), Names{"early"});
  EXPECT_EQ(record_.until_ran(2), (Names{"held", "late"}));
}

TEST_F(HandshakesTest, NotManyWait) {
  make();
  hold();
  begin("other", 2);
  for (size_t i = 1; i < TlsHandshakes::kMostWaiting; ++i) begin(std::to_string(i), 1);
  begin("late", 1);
  EXPECT_EQ(record_.until_out(1), Names{"1"}) << "those who are many make room for themselves";
  begin("third", 3);
  EXPECT_EQ(record_.until_out(2), (Names{"1", "other"}));
  EXPECT_EQ(pool_->waiting(), TlsHandshakes::kMostWaiting);
  EXPECT_EQ(pool_->counts().put_out, 2u);
}

// One place has begun all there may be, and answers nothing.
TEST_F(HandshakesTest, ThosePutOutAreOfTheFlood) {
  make(4);
  std::vector<Step*> flood;
  for (int i = 0; i < 4; ++i) {
    flood.push_back(begin("flood", 1));
    record_.until_ran(flood.size());
    pool_->stall(flood.back());
  }
  EXPECT_EQ(pool_->running(), 4u);
  begin("other", 2);
  clock_.advance(milliseconds(150));
  EXPECT_EQ(record_.until_out(1), Names{"flood"});
  pool_->end(flood[0]);
  EXPECT_EQ(record_.until_ran(5).back(), "other");
}

// Of a flood that does not go on, each costs a question.
TEST_F(HandshakesTest, InACrowdWhoIsNewIsAskedFirst) {
  make();
  hold();
  for (size_t i = 0; i < TlsHandshakes::kCrowd; ++i) begin("flood", 1, Newcomer::kUnknown);
  begin("goes on", 1);
  begin("flood", 1, Newcomer::kUnknown);
  record_.open();
  const Names ran = record_.until_ran(TlsHandshakes::kCrowd + 3);
  EXPECT_EQ(ran[1], "goes on");
  EXPECT_EQ(std::count(ran.begin() + 2, ran.end(), "ask flood"), TlsHandshakes::kCrowd + 1);
  EXPECT_EQ(pool_->running(), 2u);
  EXPECT_EQ(pool_->counts().asked, TlsHandshakes::kCrowd + 1);
  // And for a while after: a queue that is short for a moment is no end of the flood.
  begin("late", 1, Newcomer::kUnknown);
  EXPECT_EQ(record_.until_ran(TlsHandshakes::kCrowd + 4).back(), "ask late");
  clock_.advance(seconds(2));
  begin("later", 1, Newcomer::kUnknown);
  EXPECT_EQ(record_.until_ran(TlsHandshakes::kCrowd + 5).back(), "later");
}

TEST_F(HandshakesTest, AskingNeedsNoPlace) {
  make(1);
  Step* known = begin("known", 1);
  record_.until_ran(1);
  pool_->stall(known);
  for (size_t i = 0; i < TlsHandshakes::kCrowd; ++i) begin("flood", 1, Newcomer::kUnknown);
  EXPECT_EQ(record_.until_ran(2).back(), "ask flood");
  EXPECT_EQ(pool_->running(), 1u);
}

TEST_F(HandshakesTest, WhoCannotBeAskedHasItsTurn) {
  make();
  hold();
  begin("old", 1, Newcomer::kUnproven);
  for (size_t i = 0; i < 2 * TlsHandshakes::kCrowd; ++i) begin("flood", 1, Newcomer::kUnknown);
  record_.open();
  const Names ran = record_.until_ran(TlsHandshakes::kTestsForOne + 2);
  EXPECT_EQ(ran[TlsHandshakes::kTestsForOne + 1], "old");
}

// Bytes of a hello in many pieces are not worth more than a hello.
TEST_F(HandshakesTest, WhoHasNotHeardFromUsIsStillNew) {
  make();
  Step* pieces = begin("pieces", 1, Newcomer::kUnproven);
  record_.until_ran(1);
  pool_->stall(pieces);
  hold();
  begin("goes on", 1);
  pool_->resume(pieces, /*heard=*/false);
  EXPECT_EQ(pool_->waiting(), 2u);
  record_.open();
  EXPECT_EQ(record_.until_ran(4), (Names{"pieces", "held", "goes on", "pieces"}));
  EXPECT_EQ(pool_->running(), 3u);
}

TEST_F(HandshakesTest, SourcesAreAddresses) {
  const auto source = TlsHandshakes::source_of;
  EXPECT_EQ(source("10.0.0.1:1000"), source("10.0.0.1:2000"));
  EXPECT_NE(source("10.0.0.1:1000"), source("10.0.0.2:1000"));
  EXPECT_EQ(source("[fd00:1:2:3::1]:1000"), source("[fd00:1:2:3:4:5:6:7]:2000"));
  EXPECT_NE(source("[fd00:1:2:3::1]:1000"), source("[fd00:1:2:4::1]:1000"));
  EXPECT_NE(source("[::ffff:10.0.0.1]:1000"), source("[::ffff:10.0.0.2]:1000"));
  EXPECT_EQ(source("[fe80::1%eth0]:1000"), source("[fe80::2%eth0]:1000"));
  source("");
  source("@");
}

}  // namespace
}  // namespace keelson::net
