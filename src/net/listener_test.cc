// The listener over real sockets, with clients that are not polite.

#include "net/listener.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "base/log.h"
#include "base/random.h"
#include "base/test_seeds.h"
#include "base/text.h"
#include "net/accept_gate.h"
#include "net/protocol.h"
#include "net/test_memory.h"
#include "net/test_service.h"

namespace keelson::net {
namespace {

// A blocking TCP client.
class Client {
 public:
  explicit Client(uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
    timeval limit{20, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  }
  ~Client() { close(); }
  Client(Client&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  bool connected() const { return connected_; }
  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
  }
  // Sends until nothing has been taken for half a second; how much that was.
  size_t send_what_is_taken(std::string_view bytes) {
    size_t sent = 0;
    pollfd ready{fd_, POLLOUT, 0};
    while (sent < bytes.size() && ::poll(&ready, 1, 500) > 0) {
      const ssize_t n =
          ::send(fd_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n > 0) sent += static_cast<size_t>(n);
    }
    return sent;
  }
  void end() { ::shutdown(fd_, SHUT_WR); }
  void reset() {
    const linger hard{1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    close();
  }
  // Up to the server's end.
  std::string read_all() {
    std::string out;
    while (read_some(&out)) {
    }
    return out;
  }
  std::string read_until(std::string_view mark) {
    std::string out;
    while (out.find(mark) == std::string::npos && read_some(&out)) {
    }
    return out;
  }

 private:
  bool read_some(std::string* out) {
    char buffer[4096];
    ssize_t n = ::recv(fd_, buffer, sizeof(buffer), 0);
    if (n > 0) out->append(buffer, static_cast<size_t>(n));
    return n > 0;
  }
  int fd_;
  bool connected_ = false;
};

class ListenerTest : public testing::Test {
 protected:
  ListenerTest() { start({}); }
  void start(ListenerOptions options) {
    listener_.reset();
    auto listener =
        Listener::start("http://127.0.0.1:0", &pool_, &service_.router, nullptr, options);
    ASSERT_TRUE(listener.ok()) << listener.status().ToString();
    listener_ = *std::move(listener);
  }
  std::string exchange(std::string_view request) {
    Client client(listener_->port());
    client.send(request);
    return client.read_all();
  }
  // The server is well: it answers someone new.
  void expect_serving() {
    std::string answer = exchange("GET /ok HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    EXPECT_TRUE(answer.ends_with("\r\n\r\nGET /ok [] ")) << answer;
  }
  void wait_for_connections(size_t count) {
    for (int i = 0; i < 20000 && listener_->connections() != count; ++i) {
      std::this_thread::yield();
      usleep(1000);
    }
    EXPECT_EQ(listener_->connections(), count);
  }

  TestService service_;
  LoopPool pool_{2};
  std::unique_ptr<Listener> listener_;
};

TEST_F(ListenerTest, TlsOnAPortWithoutItIsHungUpOn) {
  EXPECT_EQ(exchange(std::string("\x16\3\1\2\0\1\0\1\xfc\3\3", 11)), "");
  expect_serving();
}

// The end of what the client says is there to be read for ever.
TEST_F(ListenerTest, AHalfClosedClientThatWaitsCostsNothing) {
  LateHandler late;
  service_.router.http("/late", &late);
  start({});
  Client client(listener_->port());
  client.send("GET /late HTTP/1.1\r\nHost: x\r\n\r\n");
  client.end();
  late.until_asked();
  auto turns = std::make_shared<std::atomic<int>>(0);  // hooks stay
  for (int i = 0; i < pool_.size(); ++i) pool_.at(i).after_batch([turns] { ++*turns; });
  // Others come and go meanwhile.
  for (int i = 0; i < 20; ++i) expect_serving();
  EXPECT_LT(*turns, 1000);
  late.answer();
  EXPECT_TRUE(client.read_all().ends_with("late"));
}

// Nobody reads from its socket, and nothing is written to it.
TEST_F(ListenerTest, AClientThatHangsUpWhileItWaitsIsGone) {
  LateHandler late;
  service_.router.http("/late", &late);
  start({});
  Client client(listener_->port());
  client.send("GET /late HTTP/1.1\r\nHost: x\r\n\r\n");
  late.until_asked();
  std::string more;
  while (more.size() < (256 << 10)) more += "GET /ok HTTP/1.1\r\nHost: x\r\n\r\n";
  client.send(more);
  client.reset();
  wait_for_connections(0);
  late.answer();
}

TEST_F(ListenerTest, Http1KeepsAliveAndPipelines) {
  std::string answer = exchange(
      "GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n"
      "POST /d HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
      "POST /e HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
      "chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
      "HEAD /f HTTP/1.1\r\nHost: x\r\n\r\n"
      "GET /parts HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  std::vector<std::string> wanted = {"GET /a [b=c] ", "POST /d [] hello", "POST /e [] abcde",
                                     "Content-Length: 11\r\n\r\nHTTP/1.1 200",
                                     "4\r\none \r\n4\r\ntwo \r\n5\r\nthree\r\n0\r\n\r\n"};
  size_t at = 0;
  for (const std::string& text : wanted) {
    size_t found = answer.find(text, at);
    ASSERT_NE(found, std::string::npos) << text << " in\n" << answer;
    at = found;
  }
}

TEST_F(ListenerTest, Http10ClosesUnlessAskedNotTo) {
  EXPECT_TRUE(exchange("GET /a HTTP/1.0\r\n\r\n").ends_with("GET /a [] "));
  EXPECT_TRUE(exchange("GET /parts HTTP/1.0\r\n\r\n").ends_with("\r\n\r\none two three"));
}

TEST_F(ListenerTest, MalformedHttp1) {
  auto expect = [&](std::string_view request, std::string_view status) {
    std::string answer = exchange(request);
    EXPECT_TRUE(answer.starts_with(cat("HTTP/1.1 ", status))) << answer;
  };
  expect("garbage\r\n\r\n", "400");
  expect("GET / HTTP/1.1\r\n\r\n", "400");  // no Host
  expect("GET / HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n", "400");
  expect("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", "400");
  expect("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n", "413");
  expect("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "400");
  expect("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n" +
             std::string(2000, 'x') + "\r\n0\r\n\r\n",
         "413");
  expect("GET / HTTP/1.1\r\nHost: x\r\nBig: " + std::string(1'200'000, 'h') + "\r\n\r\n", "431");
  expect_serving();
}

TEST_F(ListenerTest, GarbageHarmsNobody) {
  for_each_seed(60, [this](uint64_t seed) {
    SeededRandom random(seed);
    const uint64_t round = random.below(6);
    Client client(listener_->port());
    std::string bytes = round % 2 ? "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" : "";
    for (uint64_t n = random.below(5000); n > 0; --n) {
      bytes.push_back(static_cast<char>(random.below(256)));
    }
    client.send(bytes);
    if (round % 3 == 0) client.end();
    if (round % 3 == 1) client.close();
  });
  expect_serving();
  wait_for_connections(0);
}

TEST_F(ListenerTest, HalfAPrefaceIsNoRequest) {
  Client client(listener_->port());
  client.send("PRI * HTTP/2.0\r\n");
  client.end();
  EXPECT_EQ(client.read_all(), "");
  Client other(listener_->port());
  other.send("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n");             // neither HTTP/2 …
  EXPECT_TRUE(other.read_all().starts_with("HTTP/1.1 400"));  // … nor a request
}

TEST_F(ListenerTest, HeadersThatNeverEndAreCutOff) {
  ListenerOptions options;
  options.read_header_timeout = std::chrono::milliseconds(50);
  start(options);
  Client silent(listener_->port());
  Client slow(listener_->port());
  slow.send("GET / HTTP/1.1\r\nHost:");
  EXPECT_EQ(silent.read_all(), "");
  EXPECT_EQ(slow.read_all(), "");
  wait_for_connections(0);
}

TEST_F(ListenerTest, DrainEndsIdleConnections) {
  Client idle(listener_->port());
  idle.send("GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
  idle.read_until("[] ");
  Client silent(listener_->port());
  wait_for_connections(2);
  std::thread reader([&] { EXPECT_EQ(idle.read_all(), ""), idle.close(); });
  listener_->drain(std::chrono::seconds(20));
  reader.join();
  EXPECT_EQ(listener_->connections(), 0u);
  EXPECT_FALSE(Client(listener_->port()).connected());
}

TEST_F(ListenerTest, OutOfDescriptorsIsSurvived) {
  // UBSan checks a virtual call by opening a pipe, once per type: before there are none left.
  log::warn("expect warnings about descriptors");
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  std::vector<Client> clients;
  for (int i = 0; i < 10; ++i) clients.emplace_back(listener_->port());
  wait_for_connections(10);
  // Our own end of the next connection fits, the server's does not.
  Client late_probe(listener_->port());
  wait_for_connections(11);
  int next_fd = ::dup(0);
  ::close(next_fd);
  rlimit tight = before;
  tight.rlim_cur = static_cast<rlim_t>(next_fd) + 1;
  setrlimit(RLIMIT_NOFILE, &tight);
  Client late(listener_->port());
  EXPECT_TRUE(late.connected());  // the kernel's queue took it
  late.send("GET /late HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  usleep(30'000);
  EXPECT_EQ(listener_->connections(), 11u);
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_TRUE(late.read_all().ends_with("GET /late [] "));
}

// The reserve is kept: who comes too many waits in the queue and is served when somebody leaves.
TEST_F(ListenerTest, AcceptingStopsShortOfTheReserve) {
  log::warn("expect warnings about descriptors");
  AcceptGate gate;
  ListenerOptions options;
  options.gate = &gate;
  start(options);
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  const int next_fd = ::dup(0);
  ::close(next_fd);
  rlimit tight = before;
  // Room for five connections, both ends of them, above the reserve.
  tight.rlim_cur = static_cast<rlim_t>(next_fd) + AcceptGate::kReserve + 10;
  setrlimit(RLIMIT_NOFILE, &tight);
  std::vector<Client> clients;
  for (int i = 0; i < 20; ++i) clients.emplace_back(listener_->port());
  for (int i = 0; i < 2000 && !gate.shut(); ++i) usleep(1000);
  EXPECT_TRUE(gate.shut());
  EXPECT_LE(listener_->connections(), 5u);
  const int store = ::dup(0);
  EXPECT_LT(store, next_fd + 40);  // there is room for the store and the log
  ::close(store);
  Client last = std::move(clients.back());
  last.send("GET /late HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  clients.clear();
  EXPECT_TRUE(last.read_all().ends_with("GET /late [] "));
  for (int i = 0; i < 2000 && gate.shut(); ++i) usleep(1000);  // those who left are still accepted
  EXPECT_FALSE(gate.shut());
  EXPECT_GE(gate.times_shut(), 1u);
  setrlimit(RLIMIT_NOFILE, &before);
  listener_.reset();
}

// Says everything again in capitals, until it hears "bye".
class Shout final : public Protocol {
 public:
  explicit Shout(ProtocolHost* host) : host_(*host) {}
  bool receive(std::string_view bytes) override {
    for (char c : bytes) out_.push_back(c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c);
    over_ = over_ || bytes.find("bye") != std::string_view::npos;
    host_.wake();
    return true;
  }
  bool produce(OutQueue& out, size_t) override {
    out.append(std::exchange(out_, {}));
    return true;
  }
  bool input_full() const override { return false; }
  void drain() override { over_ = true; }
  bool working() const override { return false; }
  bool finished() const override { return over_ && out_.empty(); }
  void input_ended() override { over_ = true; }
  void closed() override {}

 private:
  ProtocolHost& host_;
  std::string out_;
  bool over_ = false;
};

class Upgrader final : public HttpHandler {
 public:
  void handle(HttpRequest, HttpReplyRef reply) override {
    HttpResponse head;
    head.fields = {{"Upgrade", "shout"}, {"Connection", "Upgrade"}};
    auto make = [](ProtocolHost* host) { return std::make_unique<Shout>(host); };
    if (!reply->upgrade(std::move(head), make)) reply->send({.status = 426, .body = {}});
  }
};

TEST_F(ListenerTest, AConnectionGoesOnWithAnotherProtocol) {
  Upgrader upgrader;
  service_.router.http("/shout", &upgrader);
  start({});
  Client client(listener_->port());
  client.send("GET /first HTTP/1.1\r\nHost: x\r\n\r\n");
  client.read_until("GET /first [] ");
  client.send("GET /shout HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n\r\nright behind");
  const std::string head = client.read_until("RIGHT BEHIND");
  EXPECT_TRUE(head.starts_with("HTTP/1.1 101 Switching Protocols\r\nUpgrade: shout\r\n")) << head;
  EXPECT_TRUE(head.ends_with("\r\n\r\nRIGHT BEHIND")) << head;
  EXPECT_EQ(head.find("Content-Length"), std::string::npos);
  client.send("GET /not-a-request HTTP/1.1\r\n\r\n");
  client.read_until("GET /NOT-A-REQUEST HTTP/1.1\r\n\r\n");
  client.send("bye");
  EXPECT_EQ(client.read_all(), "BYE");
  EXPECT_TRUE(exchange("GET /shout HTTP/1.0\r\n\r\n").starts_with("HTTP/1.0 426 "));
  // A client that waits in the other protocol is told about the end like any other.
  Client waiting(listener_->port());
  waiting.send("GET /shout HTTP/1.1\r\nHost: x\r\n\r\nhi");
  waiting.read_until("HI");
  listener_->drain(std::chrono::seconds(20));
  EXPECT_EQ(waiting.read_all(), "");
  listener_.reset();
}

// Takes nothing of a body until it is told to.
class Slow final : public HttpStreamHandler {
 public:
  std::unique_ptr<HttpBodyReceiver> on_open(HttpRequest, HttpReplyRef reply) override {
    reply->set_reading(false);
    reply_ = reply;
    opened_ = true;
    return std::make_unique<Body>(this, std::move(reply));
  }
  void go_on() {
    while (!opened_) std::this_thread::yield();
    reply_->loop().post([reply = std::exchange(reply_, nullptr)] { reply->set_reading(true); });
  }
  size_t taken() const { return taken_.load(); }

 private:
  class Body final : public HttpBodyReceiver {
   public:
    Body(Slow* owner, HttpReplyRef reply) : owner_(*owner), reply_(std::move(reply)) {}
    void on_body(Bytes piece) override { owner_.taken_ += piece.size(); }
    void on_end() override {
      reply_->send({.body = MessageParts::copy(cat("took ", owner_.taken()))});
    }

   private:
    Slow& owner_;
    HttpReplyRef reply_;
  };

  HttpReplyRef reply_;
  std::atomic<bool> opened_{false};  // reply_ is there
  std::atomic<size_t> taken_{0};
};

TEST_F(ListenerTest, ABodyThatIsNotWantedYetHoldsItsClientBack) {
  Slow slow;
  service_.router.http_stream("/slow", &slow);
  start({});
  constexpr size_t kSize = 64 << 20;
  Client client(listener_->port());
  client.send(cat("POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: ", kSize, "\r\n\r\n"));
  // Far more than the sockets' buffers hold.
  const std::string body(kSize, 'x');
  const size_t sent = client.send_what_is_taken(body);
  EXPECT_LT(sent, kSize / 2);
  EXPECT_EQ(slow.taken(), 0u);
  slow.go_on();
  client.send(std::string_view(body).substr(sent));
  EXPECT_TRUE(client.read_until("took ").starts_with("HTTP/1.1 200"));
  EXPECT_EQ(slow.taken(), kSize);
  listener_.reset();
}

// Most connections are idle, whatever they did before.
TEST_F(ListenerTest, AConnectionThatSentMuchHoldsNoBuffer) {
  if (!test::heap_is_told()) GTEST_SKIP() << "this allocator does not tell";
  constexpr size_t kClients = 100;
  HttpOptions options;
  options.max_body_bytes = 1 << 20;
  service_.router.http("/large", &service_.http, options);
  start({});
  const std::string request =
      cat("POST /large HTTP/1.1\r\nHost: x\r\nContent-Length: 300003\r\n\r\n",
          std::string(300'000, 'x'), "END");
  Client first(listener_->port());
  first.send(request);
  first.read_until("END");
  const size_t before = test::heap_in_use();
  std::vector<Client> clients;
  for (size_t i = 0; i < kClients; ++i) {
    clients.emplace_back(listener_->port()).send(request);
    EXPECT_TRUE(clients.back().read_until("END").starts_with("HTTP/1.1 200"));
  }
  EXPECT_LT(test::heap_in_use(), before + kClients * (32 << 10));
}

TEST_F(ListenerTest, BadAddresses) {
  auto code = [&](const char* url) {
    return Listener::start(url, &pool_, &service_.router).status().code();
  };
  EXPECT_EQ(code("127.0.0.1"), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code("https://127.0.0.1:0"), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code("unix://"), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code("http://not a host:1"), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(cat("127.0.0.1:", listener_->port()).c_str()), absl::StatusCode::kUnavailable);
}

TEST_F(ListenerTest, ConnectionsComeAndGo) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) {
        Client client(listener_->port());
        client.send("GET /x HTTP/1.1\r\nHost: x\r\n\r\n");
        EXPECT_TRUE(client.read_until("[] ").ends_with("GET /x [] "));
      }
    });
  }
  for (auto& thread : threads) thread.join();
  wait_for_connections(0);
}

}  // namespace
}  // namespace keelson::net
