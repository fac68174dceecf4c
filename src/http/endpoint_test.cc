// The handlers on a real listener: headers, other origins, other hosts, and answers that come from
// another thread.

#include "http/endpoint.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <thread>

#include "base/test_log.h"
#include "base/text.h"
#include "base/thread_lane.h"
#include "http/pprof.h"
#include "http/test_exchange.h"
#include "http/test_inner_client.h"
#include "net/listener.h"

namespace keelson::http {
namespace {

class HealthyState final : public ServerState {
 public:
  ~HealthyState() override {
    for (std::thread& thread : threads_) thread.join();
  }
  std::vector<Alarm> alarms() const override { return {}; }
  bool has_leader() const override { return true; }
  bool is_learner() const override { return false; }
  bool log_stalled() const override { return false; }
  void probe_read(bool, absl::AnyInvocable<void(absl::Status)> done) override {
    threads_.emplace_back([done = std::move(done)]() mutable { done(absl::OkStatus()); });
  }
  std::string cluster_version() const override { return "3.7.0"; }
  std::string storage_version() const override { return "3.7.0"; }
  void raft_status(absl::AnyInvocable<void(std::string)> done) override { done("{}"); }

 private:
  std::vector<std::thread> threads_;  // added to on the one loop, joined after it has ended
};

class StandingClock final : public Clock {
 public:
  MonotonicTime now() const override { return {std::chrono::hours(1)}; }
  Duration unix_time() const override { return std::chrono::hours(1); }
};

class EndpointTest : public ::testing::Test {
 protected:
  void serve(EndpointOptions options, bool everything = true) {
    door_ = std::make_unique<FrontDoor>(std::move(options));
    endpoint_ = std::make_unique<Endpoint>(handlers_, *door_);
    endpoint_->add_to(router_, everything);
    pprof_ = std::make_unique<Pprof>(*door_, &profiles_,
                                     std::vector<std::string>{"keelson", "--enable-pprof"});
    pprof_->add_to(router_);
    elsewhere_ = std::make_unique<Elsewhere>(*door_, router_);
    router_.http_rest(elsewhere_.get());
    auto listener = net::Listener::start("http://127.0.0.1:0", &loops_, &router_);
    ASSERT_TRUE(listener.ok()) << listener.status();
    listener_ = *std::move(listener);
  }
  void TearDown() override {
    listener_.reset();
    pages_.stop();
    profiles_.stop();
    loops_.stop();
  }
  std::string ask(const std::string& line, const std::string& headers = "") {
    return exchange(listener_->port(), cat(line, " HTTP/1.1\r\nHost: 127.0.0.1:2379\r\n", headers,
                                           "Connection: close\r\n\r\n"));
  }

  HealthyState state_;
  Metrics metrics_{MetricsOptions{}};
  ThreadLane pages_{"pages"}, profiles_{"profiles"};
  Handlers handlers_{state_, metrics_, &pages_, {"3.7.1", {}}};
  net::LoopPool loops_{1};
  net::Router router_;
  std::unique_ptr<FrontDoor> door_;
  std::unique_ptr<Endpoint> endpoint_;
  std::unique_ptr<Pprof> pprof_;
  std::unique_ptr<Elsewhere> elsewhere_;
  std::unique_ptr<net::Listener> listener_;
};

TEST_F(EndpointTest, ServesHealthFromAnotherThread) {
  serve({});
  const std::string answer = ask("GET /health");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\n")) << answer;
  EXPECT_TRUE(answer.ends_with("\r\n\r\n{\"health\":\"true\",\"reason\":\"\"}")) << answer;
  EXPECT_NE(answer.find("Access-Control-Allow-Origin: *\r\n"), std::string::npos);
  EXPECT_TRUE(ask("GET /readyz?verbose").ends_with("[+]log_device ok\nok\n"));
}

TEST_F(EndpointTest, MetricsUrlsServeLess) {
  serve({}, /*everything=*/false);
  EXPECT_TRUE(ask("GET /metrics").starts_with("HTTP/1.1 200 OK\r\n"));
  EXPECT_TRUE(ask("GET /version").starts_with("HTTP/1.1 404 "));
}

TEST_F(EndpointTest, OnlyListedOriginsAreToldSo) {
  serve({.cors = {"http://a.example:80"}, .hosts = {}});
  EXPECT_EQ(ask("GET /version").find("Access-Control"), std::string::npos);
  EXPECT_NE(ask("GET /version", "Origin: http://a.example:80\r\n")
                .find("Access-Control-Allow-Origin: http://a.example:80\r\n"),
            std::string::npos);
  EXPECT_EQ(ask("GET /version", "Origin: http://b.example:80\r\n").find("Access-Control"),
            std::string::npos);
  EXPECT_TRUE(ask("OPTIONS /health").starts_with("HTTP/1.1 200 OK\r\n"));
}

TEST_F(EndpointTest, OtherHostsAreRefused) {
  log::TestLog log(log::Level::kWarn);
  StandingClock still;
  ThreadLane lane("telling");
  LineBudget lines(still, &lane, {.bytes_per_second = 1, .bytes_at_once = 1000});
  serve({.cors = {}, .hosts = {"etcd.example"}, .lines = &lines});
  EXPECT_TRUE(ask("GET /version").starts_with("HTTP/1.1 421 "));
  const std::string_view warning = "rejecting HTTP request to prevent DNS rebinding attacks";
  const auto said = log.take(warning);
  ASSERT_EQ(said.size(), 1u);
  EXPECT_EQ(said[0].fields.at("host"), "127.0.0.1");
  for (int i = 0; i < 20; ++i) {
    exchange(listener_->port(), cat("GET / HTTP/1.1\r\nHost: ", std::string(5000, 'h'),
                                    "\r\nConnection: close\r\n\r\n"));
  }
  const auto more = log.take(warning);
  ASSERT_FALSE(more.empty());
  EXPECT_LT(more.size(), 8u);
  EXPECT_EQ(more[0].fields.at("host").size(), 255u);
  lane.stop();
  EXPECT_TRUE(exchange(listener_->port(),
                       "GET /version HTTP/1.1\r\nHost: etcd.example:2379\r\nConnection: close\r\n"
                       "\r\n")
                  .starts_with("HTTP/1.1 200 "));
}

// Nothing passes the door by being written in another way.
TEST_F(EndpointTest, WhatLeadsNowhereAndWhatIsSentElsewherePassesTheDoor) {
  serve({.cors = {"http://a.example:80"}, .hosts = {"127.0.0.1"}});
  for (const char* path : {"/nothing", "//version", "/debug/pprof", "/%2Fversion"}) {
    const std::string line = cat("GET ", path);
    const std::string answer = ask(line, "Origin: http://a.example:80\r\n");
    EXPECT_NE(answer.find("Access-Control-Allow-Origin: http://a.example:80\r\n"),
              std::string::npos)
        << answer;
    EXPECT_EQ(ask(line).find("Access-Control"), std::string::npos);
    EXPECT_TRUE(exchange(listener_->port(),
                         cat(line, " HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"))
                    .starts_with("HTTP/1.1 421 "))
        << path;
    EXPECT_TRUE(ask(cat("OPTIONS ", path)).starts_with("HTTP/1.1 200 "));
  }
  EXPECT_NE(ask("GET //version?a=b").find("HTTP/1.1 307 Temporary Redirect\r\n"),
            std::string::npos);
  EXPECT_NE(ask("GET //version?a=b").find("\r\nLocation: /version?a=b\r\n"), std::string::npos);
  EXPECT_TRUE(ask("GET /%76ersion").starts_with("HTTP/1.1 200 "));
  EXPECT_TRUE(exchange(listener_->port(),
                       "GET /%76ersion HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
                  .starts_with("HTTP/1.1 421 "));
}

TEST_F(EndpointTest, ProfilesAreServed) {
  serve({});
  const auto begins = [](const std::string& answer, int code) {
    return answer.starts_with(cat("HTTP/1.1 ", code, " "));
  };
  EXPECT_TRUE(begins(ask("GET /debug/pprof/"), 200));
  EXPECT_TRUE(ask("GET /debug/pprof/cmdline")
                  .ends_with(std::string("\r\n\r\nkeelson\0--enable-pprof", 26)));
  const std::string unknown = ask("GET /debug/pprof/trace");
  EXPECT_TRUE(begins(unknown, 404) && unknown.ends_with("Unknown profile\n")) << unknown;
  const std::string threads = ask("GET /debug/pprof/goroutine");
  EXPECT_TRUE(begins(threads, 200));
  EXPECT_NE(threads.find("Content-Disposition: attachment; filename=\"goroutine\"\r\n"),
            std::string::npos);
  EXPECT_NE(threads.find("\r\n\r\n\x1f\x8b"), std::string::npos) << "gzip";
  EXPECT_TRUE(ask("GET /debug/pprof/symbol?0").ends_with("num_symbols: 1\n"));
  EXPECT_NE(ask(cat("GET /debug/pprof/symbol?0x", absl::Hex(reinterpret_cast<uint64_t>(&::send))))
                .find("send\n"),
            std::string::npos);
}

TEST_F(EndpointTest, OneProfileOfTimeAtATime) {
  serve({});
  std::unique_ptr<CpuSampler> other = CpuSampler::start();
  const std::string refused = ask("GET /debug/pprof/profile?seconds=1");
  EXPECT_TRUE(refused.starts_with("HTTP/1.1 500 ") &&
              refused.ends_with("Could not enable CPU profiling: cpu profiling already in use\n"))
      << refused;
  other.reset();
  const std::string served = ask("GET /debug/pprof/profile?seconds=1");
  EXPECT_TRUE(served.starts_with("HTTP/1.1 200 ")) << served.substr(0, 200);
  EXPECT_NE(served.find("\r\n\r\n\x1f\x8b"), std::string::npos) << "gzip";
}

// Keeps requests as the services do, and answers with what it was made with.
class Service final : public net::UnaryHandler {
 public:
  explicit Service(std::string answer) : answer_(std::move(answer)) {}
  void handle(net::CallRef call, Bytes request) override {
    if (request.view() != "unkept") call->keep_request(request);
    if (answer_.empty()) return call->fail(absl::CancelledError("no"));
    call->respond(net::MessageParts::copy(answer_));
  }

 private:
  const std::string answer_;
};

class WallClock final : public Clock {
 public:
  MonotonicTime now() const override { return SystemClock().now(); }
  Duration unix_time() const override { return std::chrono::seconds(1'700'000'000); }
};

class GrpcObserverTest : public ::testing::Test {
 protected:
  void observe(Duration slow) {
    router_.unary("/other.Service/Method", &failing_);
    router_.unary("/etcdserverpb.KV/Put", &failing_);
    router_.unary("/etcdserverpb.KV/DeleteRange", &answering_);
    router_.unary("/etcdserverpb.KV/Compact", &answering_);
    observer_ = std::make_unique<GrpcObserver>(metrics_, clock_, nullptr, slow);
    observer_->bind(router_);
    client_ = std::make_unique<TestInnerClient>(loops_, router_, observer_.get());
  }
  void TearDown() override { loops_.stop(); }

  Metrics metrics_{MetricsOptions{}};
  WallClock clock_;
  // A header of four bytes, and that 5 keys were deleted.
  Service failing_{""}, answering_{std::string("\x0a\x02\x18\x07\x10\x05", 6)};
  net::Router router_;
  net::LoopPool loops_{1};
  std::unique_ptr<GrpcObserver> observer_;
  std::unique_ptr<TestInnerClient> client_;
};

TEST_F(GrpcObserverTest, CountsByTheRoutersMethods) {
  observe(std::chrono::seconds(100));
  for (const char* path : {"/other.Service/Method", "/etcdserverpb.KV/Put"}) {
    EXPECT_TRUE(absl::IsCancelled(client_->call(path, std::string(100, 'a'))));
  }
  const std::string page = metrics_page(metrics_);
  const std::string labels =
      "grpc_method=\"Put\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"";
  EXPECT_NE(page.find(cat("grpc_server_started_total{", labels, "} 1\n")), std::string::npos);
  EXPECT_NE(page.find(cat("grpc_server_handled_total{grpc_code=\"Canceled\",", labels, "} 1\n")),
            std::string::npos);
  EXPECT_NE(page.find("etcd_network_client_grpc_received_bytes_total 200\n"), std::string::npos);
  EXPECT_EQ(page.find("other.Service"), std::string::npos);
}

// At debug level every call gets its line, and one alone, whether it was slow or not.
TEST_F(GrpcObserverTest, SaysWhatWasAskedAndAnswered) {
  log::TestLog log(log::Level::kDebug);
  observe(Duration(0));
  ASSERT_TRUE(client_->call("/etcdserverpb.KV/DeleteRange", "\x0a\x01k").ok());
  EXPECT_FALSE(client_->call("/etcdserverpb.KV/Put", "\x0a\x01k\x12\x06secret").ok());
  EXPECT_FALSE(client_->call("/etcdserverpb.KV/Put", "unkept").ok());
  EXPECT_FALSE(client_->call("/etcdserverpb.KV/Put", "").ok());
  ASSERT_TRUE(client_->call("/etcdserverpb.KV/Compact", "\x08\x07").ok());
  // What is long is not kept for the line's sake.
  const std::string key(net::ServerCall::kMostKept, 'k');
  ASSERT_TRUE(client_->call("/etcdserverpb.KV/DeleteRange", "\x0a\x80\x80\x04" + key).ok());
  const auto lines = log.take("request stats");
  ASSERT_EQ(lines.size(), 6u);
  std::vector<std::string> told;
  for (const auto& line : lines) {
    EXPECT_EQ(line.level, log::Level::kDebug);
    EXPECT_EQ(line.fields.size(), 9u);
    EXPECT_EQ(line.fields.at("remote"), "127.0.0.1:5");
    EXPECT_TRUE(line.fields.at("start time").starts_with("2023-11-1"));
    EXPECT_TRUE(line.fields.at("time spent").ends_with("s"));
    told.push_back(cat(line.fields.at("response type"), " ", line.fields.at("request count"), " ",
                       line.fields.at("request size"), " ", line.fields.at("response count"), " ",
                       line.fields.at("response size"), " ", line.fields.at("request content")));
  }
  EXPECT_EQ(told, (std::vector<std::string>{"/etcdserverpb.KV/DeleteRange 0 3 5 6 key:\"k\"",
                                            "/etcdserverpb.KV/Put 1 11 0 0 key:\"k\" value_size:6 ",
                                            "/etcdserverpb.KV/Put -1 -1 -1 -1 ",
                                            "/etcdserverpb.KV/Put 1 0 0 0 ",
                                            "/etcdserverpb.KV/Compact -1 -1 -1 -1 ",
                                            "/etcdserverpb.KV/DeleteRange 0 65540 5 6 "}));
}

TEST_F(GrpcObserverTest, WarnsOfSlowCallsOnly) {
  log::TestLog log(log::Level::kInfo);
  observe(std::chrono::seconds(100));
  ASSERT_TRUE(client_->call("/etcdserverpb.KV/DeleteRange", "\x0a\x01k").ok());
  EXPECT_TRUE(log.take("request stats").empty());
  observer_ = std::make_unique<GrpcObserver>(metrics_, clock_, nullptr, Duration(-1));
  observer_->bind(router_);
  TestInnerClient impatient(loops_, router_, observer_.get());
  ASSERT_TRUE(impatient.call("/etcdserverpb.KV/DeleteRange", "\x0a\x01k").ok());
  const auto lines = log.take("request stats");
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines.front().level, log::Level::kWarn);
  EXPECT_EQ(lines.front().fields.at("request content"), "key:\"k\"");
}

// Warnings of many slow calls are left out; debug lines, which somebody asked for, are not.
TEST_F(GrpcObserverTest, WarningsAreBounded) {
  StandingClock still;
  ThreadLane lane("telling");
  observe(Duration(0));
  for (const log::Level level : {log::Level::kInfo, log::Level::kDebug}) {
    LineBudget lines(still, &lane, {.bytes_per_second = 1, .bytes_at_once = 2000});
    log::TestLog log(level);
    observer_ = std::make_unique<GrpcObserver>(metrics_, clock_, &lines, Duration(-1));
    observer_->bind(router_);
    TestInnerClient impatient(loops_, router_, observer_.get());
    for (int i = 0; i < 20; ++i) {
      ASSERT_TRUE(impatient.call("/etcdserverpb.KV/DeleteRange", "\x0a\x01k").ok());
    }
    const size_t said = log.take("request stats").size();
    if (level == log::Level::kDebug) {
      EXPECT_EQ(said, 20u);
    } else {
      EXPECT_GT(said, 2u);
      EXPECT_LT(said, 8u);
      lane.stop();
    }
  }
}

}  // namespace
}  // namespace keelson::http
