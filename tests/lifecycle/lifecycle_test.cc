// lifecycle_test: how a server begins and ends: what its service manager hears, how long clients of
// every kind hold it up, what they are told, and by what it dies.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "base/text.h"
#include "proto/rpc.pb.h"
#include "tests/harness/gtest_main.h"
#include "tests/harness/http.h"
#include "tests/harness/raw.h"
#include "tests/harness/server.h"

namespace keelson {
namespace {

using harness::Milliseconds;
using harness::RawConnection;
using harness::Server;
using std::chrono::steady_clock;
namespace h2 = harness::h2;

std::string binary;  // NOLINT: from the command line

constexpr char kRange[] = "/etcdserverpb.KV/Range";
constexpr char kWatch[] = "/etcdserverpb.Watch/Watch";
constexpr char kKeepAlive[] = "/etcdserverpb.Lease/LeaseKeepAlive";
// No client may hold the end up for longer; the drain's own pauses are a second each.
constexpr Milliseconds kPromptEnd{4000};

Server make_server(std::vector<std::string> environment = {}) {
  return Server({.binary = binary, .flags = {}, .environment = std::move(environment)});
}

// Sends `signal` and waits; how long it took.
Milliseconds end(Server& server, int signal = SIGTERM) {
  const auto start = steady_clock::now();
  ::kill(server.pid(), signal);
  while (!server.exited() && steady_clock::now() - start < std::chrono::seconds(60)) {
    std::this_thread::sleep_for(Milliseconds(5));
  }
  return std::chrono::duration_cast<Milliseconds>(steady_clock::now() - start);
}

// The socket that systemd would hold.
class Manager {
 public:
  Manager() : fd_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    name_ = cat("@keelson-lifecycle-", getpid());
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path + 1, name_.data() + 1, name_.size() - 1);
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name_.size());
    EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&address), size), 0);
    const timeval patience{20, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  }
  ~Manager() { ::close(fd_); }
  const std::string& name() const { return name_; }
  std::string heard() {
    char buffer[256];
    const ssize_t n = ::recv(fd_, buffer, sizeof(buffer), 0);
    return n < 0 ? "" : std::string(buffer, static_cast<size_t>(n));
  }

 private:
  std::string name_;
  const int fd_;
};

TEST(Lifecycle, TheServiceManagerIsTold) {
  Manager manager;
  Server server = make_server({cat("NOTIFY_SOCKET=", manager.name()), "WATCHDOG_USEC=200000"});
  ASSERT_TRUE(server.start().ok()) << server.log_tail();
  EXPECT_EQ(manager.heard(), "READY=1");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(manager.heard(), "WATCHDOG=1");
  end(server);
  std::string last;
  while ((last = manager.heard()) == "WATCHDOG=1") {
  }
  EXPECT_EQ(last, "STOPPING=1");
}

TEST(Lifecycle, DiesByTheSignal) {
  for (int signal : {SIGTERM, SIGINT}) {
    Server server = make_server();
    ASSERT_TRUE(server.start().ok()) << server.log_tail();
    EXPECT_LT(end(server, signal), kPromptEnd);
    EXPECT_EQ(server.exit_text(), cat("killed by signal ", signal));
    const std::string log = server.log_tail();
    EXPECT_NE(log.find("shut down\""), std::string::npos) << log;
    EXPECT_EQ(log.find('\n', log.find("shut down\"")), log.size() - 1) << log;
  }
}

// Lines of a member's log that have `message`.
std::vector<std::string> lines_with(const std::string& path, std::string_view message) {
  std::ifstream in(path);
  std::vector<std::string> found;
  for (std::string line; std::getline(in, line);) {
    if (line.find(cat("\"msg\":\"", message)) != line.npos) found.push_back(line);
  }
  return found;
}

// What etcd's own tests and operators look for, in its spelling; and nothing at level error.
TEST(Lifecycle, SaysWhatItStartsWith) {
  const std::string log = cat(testing::TempDir(), "lifecycle-log-", getpid());
  std::filesystem::remove(log);
  Server server({.binary = binary,
                 .flags = {"--log-outputs=" + log, "--snapshot-catchup-entries=1000",
                           "--bootstrap-defrag-threshold-megabytes=1000", "--v2-deprecation=gone",
                           "--max-snapshots=10", "--feature-gates=LeaseCheckpoint=true"},
                 .environment = {}});
  ASSERT_TRUE(server.start().ok()) << server.log_tail();
  end(server);
  const std::vector<std::string> starts = lines_with(log, "starting an etcd server");
  ASSERT_EQ(starts.size(), 1u);
  for (const std::string& part :
       {std::string(R"("etcd-version":"3.7.1")"), std::string(R"("snapshot-catchup-entries":1000)"),
        std::string(R"("v2-deprecation":"write-only")"), std::string(R"("max-snapshots":10)"),
        std::string(R"("member-initialized":false)"), std::string(R"("cors":["*"])"),
        std::string(R"("quota-backend-bytes":2147483648)"),
        std::string(R"("election-timeout":"1s")"),
        std::string(R"("feature-gates":"LeaseCheckpoint=true")"),
        cat(R"("listen-client-urls":["http://)", server.address(), "\"]")}) {
    EXPECT_NE(starts[0].find(part), std::string::npos) << part << " in " << starts[0];
  }
  const std::vector<std::string> skipped = lines_with(log, "Skipping defragmentation");
  ASSERT_EQ(skipped.size(), 1u);
  EXPECT_NE(skipped[0].find(R"("bootstrap-defrag-threshold-bytes":1048576000)"), std::string::npos);
  EXPECT_EQ(lines_with(log, "serving client traffic").size(), 1u);
  EXPECT_EQ(lines_with(log, "--max-snapshots is deprecated in 3.6").size(), 1u);
  EXPECT_EQ(lines_with(log, "--v2-deprecation is deprecated and scheduled").size(), 1u);
  std::ifstream in(log);
  for (std::string line; std::getline(in, line);) {
    EXPECT_EQ(line.find("\"level\":\"error\""), line.npos) << line;
  }
  std::filesystem::remove(log);
}

// A start goes on from there; harnesses wait for the line, and look for etcd's snapshot files.
TEST(Lifecycle, SaysWhenTheLogIsMarked) {
  const std::string log = cat(testing::TempDir(), "lifecycle-marks-", getpid());
  std::filesystem::remove(log);
  Server server({.binary = binary,
                 .flags = {"--log-outputs=" + log, "--snapshot-count=10"},
                 .environment = {}});
  ASSERT_TRUE(server.start().ok()) << server.log_tail();
  const std::filesystem::path snap = server.data_dir() + "/member/snap";
  etcdserverpb::PutRequest put;
  put.set_key("k");
  etcdserverpb::PutResponse answer;
  const auto put_until = [&](const auto& done) {
    const auto until = steady_clock::now() + std::chrono::seconds(60);
    while (!done() && steady_clock::now() < until) {
      ASSERT_TRUE(server.client().unary("/etcdserverpb.KV/Put", put, &answer).ok());
    }
    EXPECT_TRUE(done());
  };
  const auto marks = [&] { return lines_with(log, "saved snapshot to disk").size(); };
  const auto files = [&] {
    size_t found = 0;
    std::error_code none;
    for (std::filesystem::directory_iterator at(snap, none), end; at != end; at.increment(none)) {
      found += at->path().extension() == ".snap";
    }
    return found;
  };
  put_until([&] { return marks() >= 2 && files() >= 2; });
  // The marks do not depend on them.
  const std::filesystem::path aside = server.data_dir() + "/member/aside";
  std::ofstream(aside) << "in the way";
  // In one step: a file may be on its way there.
  ASSERT_EQ(::renameat2(AT_FDCWD, aside.c_str(), AT_FDCWD, snap.c_str(), RENAME_EXCHANGE), 0);
  const size_t before = marks();
  put_until([&] { return marks() >= before + 4; });
  put_until([&] { return lines_with(log, "failed to write a snap file").size() == 1; });
  std::filesystem::remove(snap);
  put_until([&] { return files() >= 1; });
  EXPECT_EQ(lines_with(log, "failed to write a snap file").size(), 1u);
  std::filesystem::remove(log);
}

// It locks its memory, or says why it may not; it never starts without.
TEST(Lifecycle, LocksItsMemoryOrDoesNotStart) {
  Server server({.binary = binary, .flags = {"--memory-mlock"}, .environment = {}});
  const absl::Status started = server.start();
  if (!started.ok()) {
    EXPECT_NE(server.log_tail().find("--memory-mlock"), std::string::npos) << server.log_tail();
    return;
  }
  std::ifstream status(cat("/proc/", server.pid(), "/status"));
  int64_t locked = 0;
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmLck:")) locked = std::strtoll(line.c_str() + 6, nullptr, 10);
  }
  EXPECT_GT(locked, 1024) << "kB";
}

std::string create_request() {
  etcdserverpb::WatchRequest request;
  request.mutable_create_request()->set_key("a");
  return request.SerializeAsString();
}

TEST(Lifecycle, StreamsEndWithWhatClientsRetryOn) {
  Server server = make_server();
  ASSERT_TRUE(server.start().ok()) << server.log_tail();
  auto watch = server.client().stream(kWatch);
  ASSERT_TRUE(watch->send(create_request()));
  ASSERT_TRUE(watch->receive(Milliseconds(10000)));
  auto keep_alive = server.client().stream(kKeepAlive);
  etcdserverpb::LeaseKeepAliveRequest renewal;
  renewal.set_id(7);
  ASSERT_TRUE(keep_alive->send(renewal.SerializeAsString()));
  ASSERT_TRUE(keep_alive->receive(Milliseconds(10000)));
  std::thread reader([&] {
    for (harness::Stream* stream : {watch.get(), keep_alive.get()}) {
      const grpc::Status status = stream->finish();
      EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
      EXPECT_EQ(status.error_message(), "etcdserver: server stopped");
    }
  });
  EXPECT_LT(end(server), Milliseconds(2000));
  reader.join();
}

// Neither acknowledges anything nor reads, with everything open that a client can have open.
TEST(Lifecycle, StuckClientsCostABoundedTime) {
  Server server = make_server();
  ASSERT_TRUE(server.start().ok()) << server.log_tail();
  etcdserverpb::PutRequest put;
  put.set_key("a");
  put.set_value(std::string(1 << 20, 'v'));
  ASSERT_TRUE(server.client().unary("/etcdserverpb.KV/Put", put.SerializeAsString()).status.ok());
  etcdserverpb::RangeRequest get;
  get.set_key("a");
  std::vector<RawConnection> stuck;
  auto add = [&](const std::string& bytes) {
    stuck.emplace_back(server.address(), 4096);
    stuck.back().send(bytes);
  };
  add("");
  add("GET /health HT");
  add("POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc");
  add("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
  add(h2::preface());
  add(h2::preface() + h2::unary_call(1, kRange, get.SerializeAsString()));
  add(h2::preface() + h2::headers(1, h2::block(h2::grpc_request(kRange)), false));
  add(h2::preface() + h2::headers(1, h2::block(h2::grpc_request(kWatch)), false) +
      h2::frame(h2::kData, 0, 1, h2::message(create_request())));
  // The last of them has been seen once its answer is there.
  ASSERT_FALSE(stuck.back().receive(Milliseconds(10000)).empty());
  EXPECT_LT(end(server), kPromptEnd);
  EXPECT_EQ(server.exit_text(), cat("killed by signal ", SIGTERM));
}

// What is committed is in the log for the next start; without that this takes a minute and a half,
// and the member gives up waiting for itself.
TEST(Lifecycle, WhatWaitsForTheStateMachineIsNotWaitedFor) {
  Server server = make_server({"KEELSON_FAILPOINTS=apply_entry=sleep:3000"});
  ASSERT_TRUE(server.start().ok()) << server.log_tail();
  // Not asked of the state machine, which is busy.
  const auto committed = [&]() -> uint64_t {
    constexpr std::string_view kRow = "\netcd_server_proposals_committed_total ";
    const auto page = harness::http_request(server.address(), "GET", "/metrics");
    const size_t at = page.ok() ? page->body.find(kRow) : std::string::npos;
    if (at == std::string::npos) return 0;
    return static_cast<uint64_t>(std::strtod(page->body.c_str() + at + kRow.size(), nullptr));
  };
  constexpr uint32_t kPuts = 30;
  const uint64_t all = committed() + kPuts;
  etcdserverpb::PutRequest put;
  put.set_key("a");
  RawConnection connection(server.address());
  connection.send(h2::preface());
  for (uint32_t i = 0; i < kPuts; ++i) {
    connection.send(h2::unary_call(2 * i + 1, "/etcdserverpb.KV/Put", put.SerializeAsString()));
  }
  ASSERT_TRUE(harness::eventually([&] { return committed() >= all; }));
  end(server);
  EXPECT_EQ(server.exit_text(), cat("killed by signal ", SIGTERM)) << server.log_tail();
}

TEST(Lifecycle, AFloodCostsNothing) {
  Server server = make_server();
  ASSERT_TRUE(server.start().ok()) << server.log_tail();
  etcdserverpb::RangeRequest get;
  get.set_key("a");
  const std::string message = get.SerializeAsString();
  std::vector<std::thread> floods;
  std::atomic<int> running{0};
  for (int i = 0; i < 4; ++i) {
    floods.emplace_back([&, i] {
      RawConnection connection(server.address());
      connection.send(h2::preface());
      for (uint32_t stream = 1; !connection.ended(); stream += 2) {
        std::string bytes = i % 2 == 0
                                ? h2::unary_call(stream, kRange, message)
                                : h2::window_update(0, 1) + h2::frame(h2::kPing, 1, 0, "12345678");
        if (!connection.send(bytes, Milliseconds(1000))) break;
        connection.receive(Milliseconds(0));
        if (stream == 1) ++running;
      }
    });
  }
  while (running < 4) std::this_thread::yield();
  EXPECT_LT(end(server), kPromptEnd);
  EXPECT_EQ(server.exit_text(), cat("killed by signal ", SIGTERM));
  for (std::thread& flood : floods) flood.join();
}

}  // namespace
}  // namespace keelson

int main(int argc, char** argv) {
  return keelson::harness::run_all_tests(argc, argv, {{"server", &keelson::binary}});
}
