// /debug/requests and /debug/events: what they show of calls on several loops, in what bounds, and
// what they never show.

#include "http/debug_pages.h"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <future>
#include <map>
#include <mutex>

#include "base/protobuf.h"
#include "base/random.h"
#include "base/test_seeds.h"
#include "base/text.h"
#include "base/thread_lane.h"
#include "http/test_exchange.h"
#include "http/test_inner_client.h"
#include "net/listener.h"

namespace keelson::http {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class ManualClock final : public Clock {
 public:
  MonotonicTime now() const override { return {Duration(now_.load())}; }
  Duration unix_time() const override { return Duration(now_.load()); }
  void advance(Duration by) { now_ += by.count(); }

 private:
  // Noon of some day.
  std::atomic<int64_t> now_{1'700'000'000'000'000'000};
};

// Answers when it is told to, as it is told to.
class Service final : public net::UnaryHandler {
 public:
  void handle(net::CallRef call, Bytes request) override {
    if (request.view() == "at once") return call->respond(net::MessageParts::copy("done"));
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(call));
  }
  void end_all(const absl::Status& status) {
    std::vector<net::CallRef> ended;
    {
      const std::lock_guard lock(mutex_);
      ended.swap(waiting_);
    }
    for (net::CallRef& call : ended) {
      if (status.ok()) {
        net::ServerCall::respond_later(std::move(call), net::MessageParts::copy("secret"));
      } else {
        net::ServerCall::fail_later(std::move(call), status);
      }
    }
  }

 private:
  std::mutex mutex_;
  std::vector<net::CallRef> waiting_;
};

class Nobody final : public net::CallObserver {
 public:
  void call_started(const net::ServerCall&) override { ++started; }
  void message_received(const net::ServerCall&, const Bytes&) override {}
  void message_sent(const net::ServerCall&, const net::MessageParts&) override {}
  void call_finished(const net::ServerCall&, const net::CallSummary&) override { ++finished; }
  std::atomic<int> started{0}, finished{0};
};

// A thread's, which does nothing as long as it is held.
class HeldLane final : public Executor {
 public:
  void post(Task task) override {
    const std::lock_guard lock(mutex_);
    if (!held_) return lane_.post(std::move(task));
    kept_.push_back(std::move(task));
    changed_.notify_all();
  }
  void post_after(Duration delay, Task task) override { lane_.post_after(delay, std::move(task)); }
  void hold() {
    const std::lock_guard lock(mutex_);
    held_ = true;
  }
  void wait_for(size_t tasks) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return kept_.size() >= tasks; });
  }
  void let_go() {
    const std::lock_guard lock(mutex_);
    held_ = false;
    for (Task& task : std::exchange(kept_, {})) lane_.post(std::move(task));
  }
  void stop() { lane_.stop(); }

 private:
  ThreadLane lane_{"pages"};
  std::mutex mutex_;
  std::condition_variable changed_;
  bool held_ = false;
  std::vector<Task> kept_;
};

class DebugPagesTest : public ::testing::Test {
 protected:
  static constexpr const char* kPut = "/etcdserverpb.KV/Put";
  static constexpr const char* kLogin = "/etcdserverpb.Auth/Authenticate";

  void SetUp() override {
    for (const char* path : {kPut, "/etcdserverpb.KV/Range", kLogin, "/etcdserverpb.KV/Compact"}) {
      router_.unary(path, &service_);
    }
    traces_.bind(router_);
    pages_.add_to(router_);
    pages_.serving({"127.0.0.1:2379", "unix:a<b"}, router_);
    auto listener = net::Listener::start("http://127.0.0.1:0", &loops_, &router_);
    ASSERT_TRUE(listener.ok()) << listener.status();
    listener_ = *std::move(listener);
  }
  void TearDown() override {
    listener_.reset();
    lane_.stop();
    loops_.stop();
  }

  std::string page(const std::string& query, const std::string& path = "/debug/requests") {
    return exchange(listener_->port(),
                    cat("GET ", path, query, " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
  }
  static size_t count(std::string_view text, std::string_view what) {
    size_t found = 0;
    for (size_t at = 0; (at = text.find(what, at)) != std::string_view::npos; ++at) ++found;
    return found;
  }
  static bool has(std::string_view text, std::string_view what) { return count(text, what) > 0; }

  static std::string put(std::string_view key, std::string_view value) {
    std::string out;
    pb::append_bytes_field(out, 1, key);
    pb::append_bytes_field(out, 2, value);
    return out;
  }
  void end(std::vector<std::future<absl::Status>>& calls, const absl::Status& status) {
    service_.end_all(status);
    for (auto& call : calls) EXPECT_EQ(call.get(), status);
    calls.clear();
  }

  ManualClock clock_;
  Nobody nobody_;
  Service service_;
  net::LoopPool loops_{3};
  net::Router router_;
  FrontDoor door_{{}};
  CallTraces traces_{nobody_, clock_, 3};
  HeldLane lane_;
  DebugPages pages_{{door_, traces_, loops_, clock_, lane_}};
  std::unique_ptr<net::Listener> listener_;
  TestInnerClient client_{loops_, router_, &traces_};
};

constexpr const char* kOfKv = "?fam=grpc.Recv.etcdserverpb.KV&b=";

TEST_F(DebugPagesTest, ServicesAppearWithTheirFirstCall) {
  const std::string empty = page("");
  EXPECT_TRUE(empty.starts_with("HTTP/1.1 200 OK\r\n"));
  EXPECT_TRUE(has(empty, "Content-Type: text/html; charset=utf-8\r\n"));
  EXPECT_TRUE(has(empty, "<h1>/debug/requests</h1>"));
  EXPECT_FALSE(has(empty, "class=\"family\""));
  ASSERT_TRUE(client_.call(kPut, "at once", {.loop = 2}).ok());
  EXPECT_EQ(nobody_.started, 1);
  EXPECT_EQ(nobody_.finished, 1);
  const std::string one = page("?exp=1");
  EXPECT_EQ(count(one, "class=\"family\""), 1u);
  EXPECT_TRUE(has(one, "<td class=\"family\">grpc.Recv.etcdserverpb.KV</td>"));
  EXPECT_TRUE(has(one, "<td class=\"active empty\">[0 active]</td>"));
  EXPECT_TRUE(has(one, "<a href=\"?fam=grpc.Recv.etcdserverpb.KV&b=0&exp=1\">[≥0s]</a>"));
  EXPECT_TRUE(has(one, "<td class=\"empty\">[≥0.05s]</td>"));
  EXPECT_TRUE(has(one, "<td class=\"empty\">[≥100s]</td>\n<td class=\"empty\">[errors]</td>"));
  EXPECT_TRUE(has(one, "<a href=\"?fam=grpc.Recv.etcdserverpb.KV&b=9\">[minute]</a>"));
  EXPECT_TRUE(has(one, "<a href=\"?fam=grpc.Recv.etcdserverpb.KV&b=11\">[total]</a>"));
}

TEST_F(DebugPagesTest, CallsUnderWayOfAllLoops) {
  std::vector<std::future<absl::Status>> calls;
  for (int i = 0; i < 30; ++i) {
    calls.push_back(client_.begin(kPut, put(cat("key", i, "."), "secret"), {.loop = i % 3}));
    clock_.advance(milliseconds(1));
  }
  EXPECT_TRUE(has(page(""), "b=-1\">[30 active]</a>"));
  const std::string shown = page(cat(kOfKv, "-1&exp=1"));
  EXPECT_TRUE(has(shown, "Active Requests"));
  EXPECT_TRUE(has(shown, "Showing <b>20</b> of <b>30</b> traces."));
  EXPECT_EQ(count(shown, "<tr class=\"first\">"), 20u);
  EXPECT_TRUE(has(shown, "key0.")) << "the oldest are shown";
  EXPECT_TRUE(has(shown, "key19."));
  EXPECT_FALSE(has(shown, "key20."));
  EXPECT_LT(shown.find("key19."), shown.find("key0.")) << "newest first";
  EXPECT_TRUE(has(shown, "<td class=\"elapsed\">0.030000</td><td>/etcdserverpb.KV/Put</td>"));
  EXPECT_TRUE(has(shown, "... RPC: from 127.0.0.1:5 deadline:none"));
  EXPECT_TRUE(has(shown, "... recv: key:&#34;key0.&#34; value_size:6 "));
  EXPECT_FALSE(has(shown, "secret"));
  end(calls, absl::OkStatus());
  EXPECT_TRUE(has(page(""), "[0 active]"));
}

TEST_F(DebugPagesTest, CallsThatAreOverByTheirLength) {
  std::vector<std::future<absl::Status>> calls;
  calls.push_back(client_.begin(kPut, put("slow", ""), {.loop = 1, .timeout = seconds(100)}));
  clock_.advance(milliseconds(199));
  end(calls, absl::OkStatus());
  calls.push_back(client_.begin(kPut, put("failed", ""), {.loop = 0}));
  end(calls, absl::InvalidArgumentError("a < b"));
  const std::string table = page("");
  for (const char* filled : {"b=0\">[≥0s]", "b=1\">[≥0.05s]", "b=2\">[≥0.1s]", "b=8\">[errors]"}) {
    EXPECT_TRUE(has(table, filled)) << filled;
  }
  EXPECT_TRUE(has(table, "<td class=\"empty\">[≥0.2s]</td>"));
  const std::string slow = page(cat(kOfKv, "2&exp=1"));
  EXPECT_TRUE(has(slow, "Completed Requests"));
  EXPECT_EQ(count(slow, "<tr class=\"first\">"), 1u);
  EXPECT_TRUE(has(slow, "<td class=\"elapsed\">0.199000</td><td>/etcdserverpb.KV/Put</td>"));
  EXPECT_TRUE(has(slow, "key:&#34;slow&#34;"));
  EXPECT_TRUE(has(slow, "<td class=\"elapsed\"> .199000</td><td>... sent: 6 bytes</td>"));
  EXPECT_TRUE(has(slow, "<td>... OK</td>"));
  EXPECT_FALSE(has(slow, "secret"));
  const std::string failed = page(cat(kOfKv, "8&exp=true"));
  EXPECT_EQ(count(failed, "<tr class=\"first\">"), 1u);
  EXPECT_TRUE(has(failed, "... rpc error: code = InvalidArgument desc = a &lt; b"));
  EXPECT_FALSE(has(page(cat(kOfKv, "8")), "rpc error")) << "not expanded";
  const std::string hidden = page(cat(kOfKv, "8&exp=1&show_sensitive=0"));
  EXPECT_FALSE(has(hidden, "rpc error"));
  EXPECT_EQ(count(hidden, "<em>[redacted]</em>"), 2u);
  EXPECT_FALSE(has(page(cat(kOfKv, "8&rtraced=1")), "Completed Requests")) << "none is traced";
}

TEST_F(DebugPagesTest, OfManyTheLastTen) {
  std::vector<std::future<absl::Status>> calls;
  for (int i = 0; i < 100; ++i) {
    calls.push_back(client_.begin(kPut, put(cat("key", i, "."), ""), {.loop = i * 7 % 3}));
    clock_.advance(milliseconds(1));
    end(calls, absl::OkStatus());
  }
  const std::string shown = page(cat(kOfKv, "0&exp=1"));
  EXPECT_EQ(count(shown, "<tr class=\"first\">"), 10u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(has(shown, cat("key", i, ".")), i >= 90) << i;
}

TEST_F(DebugPagesTest, PasswordsAreNotShown) {
  const std::string login = put("root", "hunter2");  // the same fields: a name and a password
  std::vector<std::future<absl::Status>> calls;
  for (const auto& status : {absl::OkStatus(), absl::UnauthenticatedError("no")}) {
    calls.push_back(client_.begin(kLogin, login, {}));
    const std::string active = page("?fam=grpc.Recv.etcdserverpb.Auth&b=-1&exp=1");
    EXPECT_TRUE(has(active, cat("recv: ", login.size(), " bytes")));
    EXPECT_FALSE(has(active, "hunter2"));
    end(calls, status);
    const std::string over = page("?fam=grpc.Recv.etcdserverpb.Auth&b=0&exp=1");
    EXPECT_TRUE(has(over, cat("recv: ", login.size(), " bytes")));
    EXPECT_FALSE(has(over, "hunter2"));
    EXPECT_FALSE(has(over, "secret"));
  }
}

TEST_F(DebugPagesTest, LatenciesOfAllLoops) {
  std::vector<std::future<absl::Status>> calls;
  for (int i = 0; i < 3; ++i) calls.push_back(client_.begin(kPut, "", {.loop = i}));
  clock_.advance(milliseconds(3));
  end(calls, absl::OkStatus());
  for (const char* bucket : {"9", "10", "11"}) {
    const std::string shown = page(cat(kOfKv, bucket));
    EXPECT_TRUE(has(shown, "<td>Count: 3</td><td>Mean: 3000</td><td>StdDev: 0</td>")) << bucket;
    EXPECT_TRUE(has(shown, ">2048,</td>"));
    EXPECT_TRUE(has(shown, ">100.000%</td>"));
  }
  clock_.advance(seconds(61));
  EXPECT_TRUE(has(page(cat(kOfKv, "9")), "of grpc.Recv.etcdserverpb.KV over last minute</h4>"));
  EXPECT_TRUE(has(page(cat(kOfKv, "9")), "Count: 0"));
  EXPECT_TRUE(has(page(cat(kOfKv, "10")), "Count: 3"));
}

TEST_F(DebugPagesTest, WhatIsNotThereIsNotShown) {
  ASSERT_TRUE(client_.call(kPut, "at once").ok());
  for (const char* query : {"?fam=<script>&b=0", "?fam=grpc.Recv.etcdserverpb.KV&b=-2",
                            "?fam=grpc.Recv.etcdserverpb.KV&b=12", "?b=0",
                            "?fam=grpc.Recv.etcdserverpb.KV&b=99999999999999999999",
                            "?fam=grpc.Recv.etcdserverpb.KV&b=x", "?fam=grpc.Recv.etcdserverpb.KV",
                            "?fam=grpc.Recv.etcdserverpb.KV&b=2", "?fam=nobody&b=9"}) {
    const std::string shown = page(query);
    EXPECT_TRUE(shown.starts_with("HTTP/1.1 200 OK\r\n")) << query;
    EXPECT_FALSE(has(shown, "<h3>")) << query;
    EXPECT_FALSE(has(shown, "<h4>")) << query;
    EXPECT_FALSE(has(shown, "script")) << query;
  }
}

TEST_F(DebugPagesTest, EventsOfTheServers) {
  const std::string table = page("", "/debug/events");
  EXPECT_TRUE(has(table, "<h1>/debug/events</h1>"));
  EXPECT_TRUE(has(table, "<a href=\"?fam=grpc.Server&b=0\">[2 total]</a>"));
  EXPECT_TRUE(has(table, "<td class=\"empty\">[0 errs&lt;10s]</td>"));
  EXPECT_FALSE(has(table, "RegisterService"));
  clock_.advance(seconds(5));
  const std::string expanded = page("?fam=grpc.Server&b=0&exp=1", "/debug/events");
  EXPECT_EQ(count(expanded, "<tr class=\"first\">"), 2u);
  EXPECT_TRUE(has(expanded, "<td class=\"elapsed\">5.000000</td><td>127.0.0.1:2379</td>"));
  EXPECT_TRUE(has(expanded, "unix:a&lt;b"));
  EXPECT_EQ(count(expanded, "... RegisterService(&#34;etcdserverpb.KV&#34;)"), 2u);
  EXPECT_EQ(count(expanded, "... RegisterService(&#34;etcdserverpb.Auth&#34;)"), 2u);
  EXPECT_EQ(count(expanded, "... serving"), 2u);
  EXPECT_FALSE(has(page("?fam=grpc.Server&b=1&exp=1", "/debug/events"), "RegisterService"));
}

TEST(CallTraceTest, TheFirstAndTheLastEventsAreKept) {
  CallTrace trace;
  for (int i = 0; i < 25; ++i) trace.add({seconds(i), cat("e", i), false});
  std::string texts;
  for (const CallTrace::Event& event : trace.events) texts += cat(event.text, ",");
  EXPECT_EQ(texts, "e0,e1,e2,e3,(16 events discarded),e20,e21,e22,e23,e24,");
  EXPECT_EQ(trace.events[4].unix_time, seconds(19));
}

// Beside a list of all that was counted.
TEST(LatencySeriesTest, CountsTheLastMinuteAndHour) {
  for_each_seed({.count = 20}, [](uint64_t seed) {
    SeededRandom random(seed);
    LatencySeries series;
    std::vector<std::pair<Duration, Duration>> all;  // when, how long
    Duration now = seconds(1'000'000);
    for (int i = 0; i < 300; ++i) {
      now += milliseconds(random.below(random.below(10) == 0 ? 200'000 : 2'000));
      const Duration took(random.below(uint64_t{1} << random.below(40)));
      series.add(took, {now});
      all.emplace_back(now, took);
      const auto count = [&](Duration unit) {
        uint64_t within = 0;
        for (const auto& [when, _] : all) within += now / unit - when / unit < 60;
        return within;
      };
      using Window = LatencySeries::Window;
      ASSERT_EQ(series.over(Window::kMinute, {now}).count(), count(seconds(1)));
      ASSERT_EQ(series.over(Window::kHour, {now}).count(), count(std::chrono::minutes(1)));
      ASSERT_EQ(series.over(Window::kTotal, {now}).count(), all.size());
    }
    // The median lies in its bucket.
    std::vector<uint64_t> micros;
    for (const auto& [_, took] : all) micros.push_back(static_cast<uint64_t>(took.count() / 1000));
    std::sort(micros.begin(), micros.end());
    const uint64_t exact = micros[(micros.size() - 1) / 2];
    const uint64_t told = series.over(LatencySeries::Window::kTotal, {now}).median();
    ASSERT_LE(told, 2 * exact + 2);
    ASSERT_LE(exact, 2 * told + 2);
  });
}

// Pages are made on their lane; as long as that does nothing, loops serve others, and only so many
// wait.
TEST_F(DebugPagesTest, PagesWaitForTheirLane) {
  lane_.hold();
  std::vector<std::future<std::string>> pages;
  for (int i = 0; i < DebugPages::kMostWaiting; ++i) {
    const char* path = i % 2 == 0 ? "/debug/requests" : "/debug/events";
    pages.push_back(std::async(std::launch::async, [this, path] { return page("", path); }));
  }
  lane_.wait_for(pages.size());
  EXPECT_TRUE(page("").starts_with("HTTP/1.1 503 "));
  EXPECT_TRUE(page("", "/debug/events").starts_with("HTTP/1.1 503 "));
  EXPECT_TRUE(client_.call(kPut, "at once").ok());
  lane_.let_go();
  for (auto& page : pages) EXPECT_TRUE(page.get().starts_with("HTTP/1.1 200 "));
  EXPECT_TRUE(page("").starts_with("HTTP/1.1 200 "));
}

}  // namespace
}  // namespace keelson::http
