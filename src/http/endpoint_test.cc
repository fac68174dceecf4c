// The handlers on a real listener: headers, other origins, other hosts, and answers that come from
// another thread.

#include "http/endpoint.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "base/text.h"
#include "base/thread_lane.h"
#include "http/pprof.h"
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

 private:
  std::vector<std::thread> threads_;  // added to on the one loop, joined after it has ended
};

// One request on a connection of its own; the whole answer.
std::string exchange(uint16_t port, const std::string& request) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
  EXPECT_EQ(send(fd, request.data(), request.size(), 0), static_cast<ssize_t>(request.size()));
  std::string answer;
  char piece[4096];
  for (ssize_t n; (n = recv(fd, piece, sizeof piece, 0)) > 0;) {
    answer.append(piece, static_cast<size_t>(n));
  }
  close(fd);
  return answer;
}

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
  serve({.cors = {}, .hosts = {"etcd.example"}});
  EXPECT_TRUE(ask("GET /version").starts_with("HTTP/1.1 421 "));
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

class NoService final : public net::UnaryHandler {
 public:
  void handle(net::CallRef, Bytes) override {}
};

TEST(GrpcObserverTest, CountsByTheRoutersMethods) {
  Metrics metrics{MetricsOptions{}};
  NoService handler;
  net::Router router;
  router.unary("/other.Service/Method", &handler);
  router.unary("/etcdserverpb.KV/Put", &handler);
  GrpcObserver observer(metrics);
  observer.bind(router);
  for (const net::MethodInfo* method : router.methods()) {
    observer.call_started(0, *method);
    observer.message_received(0, *method, 100);
    observer.message_sent(0, *method, 10);
    observer.call_finished(0, *method, {absl::StatusCode::kCancelled, Duration(1)});
  }
  const std::string page = metrics_page(metrics);
  const std::string labels =
      "grpc_method=\"Put\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"";
  EXPECT_NE(page.find(cat("grpc_server_started_total{", labels, "} 1\n")), std::string::npos);
  EXPECT_NE(page.find(cat("grpc_server_handled_total{grpc_code=\"Canceled\",", labels, "} 1\n")),
            std::string::npos);
  EXPECT_NE(page.find("etcd_network_client_grpc_received_bytes_total 200\n"), std::string::npos);
  EXPECT_EQ(page.find("other.Service"), std::string::npos);
}

}  // namespace
}  // namespace keelson::http
