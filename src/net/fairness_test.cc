// Turns of a loop, counted: whatever one client does, posts, timers, hooks, answers and other
// clients have their turn. The loop is turned by hand and nothing here looks at a real clock.

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "base/endian.h"
#include "base/text.h"
#include "net/connection.h"
#include "net/loop_impl.h"
#include "net/memory_connection.h"
#include "net/test_service.h"

namespace keelson::net {
namespace {

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

std::string frame(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload) {
  std::string out = big32(static_cast<uint32_t>(payload.size())).substr(1);
  out.push_back(static_cast<char>(type));
  out.push_back(static_cast<char>(flags));
  return out.append(big32(stream)).append(payload);
}

// A literal that is not added to the table.
std::string field(std::string_view name, std::string_view value) {
  std::string out(1, '\0');
  for (std::string_view text : {name, value}) {
    out.push_back(static_cast<char>(text.size()));
    out.append(text);
  }
  return out;
}

std::string request_headers(uint32_t stream, std::string_view path = "/test.Echo/Unary") {
  return frame(1, 0x4, stream,
               field(":method", "POST") + field(":scheme", "http") + field(":path", path) +
                   field(":authority", "x") + field("content-type", "application/grpc") +
                   field("te", "trailers"));
}

// Settings and one request that stays open, then `piece` as often as asked.
std::string http2_with(const std::string& piece, size_t count) {
  std::string out = cat(kPreface, frame(4, 0, 0, ""), request_headers(1));
  for (size_t i = 0; i < count; ++i) out += piece;
  return out;
}

class Slow;

class FairnessTest : public testing::Test {
 protected:
  // One client's end of a connection that the loop serves.
  struct Client {
    int fd = -1;
    int server_fd = -1;
    std::string unsent;
    std::string received;
  };

  ~FairnessTest() override {
    for (Client& client : clients_) ::close(client.fd);
    for (auto& connection : connections_) connection->close();
    connections_.clear();
    while (loop_.run_ready() > 0) {
    }
  }

  size_t connect() {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    ListenerOptions options;
    options.budgets = std::make_shared<HeldBudgets>(1);
    auto context =
        std::make_shared<ServerContext>(ServerContext{&service_.router, nullptr, options});
    connections_.push_back(std::make_shared<Connection>(
        context, &loop_, ends[1], PeerInfo{.address = "@"}, [](Connection*) {}));
    connections_.back()->start();
    clients_.push_back({ends[0], ends[1], "", ""});
    return clients_.size() - 1;
  }

  // Sends what the socket takes and reads what is there.
  void pump(size_t number) {
    Client& client = clients_[number];
    while (!client.unsent.empty()) {
      ssize_t n = ::send(client.fd, client.unsent.data(), client.unsent.size(), MSG_NOSIGNAL);
      if (n <= 0) break;
      client.unsent.erase(0, static_cast<size_t>(n));
    }
    char buffer[65536];
    while (true) {
      ssize_t n = ::recv(client.fd, buffer, sizeof(buffer), 0);
      if (n <= 0) break;
      client.received.append(buffer, static_cast<size_t>(n));
    }
  }

  // What the server has not read yet.
  int unread(size_t number) {
    int bytes = 0;
    EXPECT_EQ(::ioctl(clients_[number].server_fd, FIONREAD, &bytes), 0);
    return bytes;
  }

  void expect_fair(const std::string& flood);
  void expect_turns(const std::string& flood, const Slow& slow, const std::vector<std::string>& all,
                    size_t each);

  ManualClock clock_;
  Loop loop_{&clock_};
  TestService service_;
  std::vector<std::shared_ptr<Connection>> connections_;
  std::vector<Client> clients_;
};

// The flood is still going on when everybody else has been served.
void FairnessTest::expect_fair(const std::string& flood) {
  int hooks = 0;
  loop_.after_batch([&] { ++hooks; });
  while (loop_.run_ready() > 0) {
  }
  hooks = 0;
  size_t busy = connect();
  clients_[busy].unsent = flood;
  pump(busy);
  ASSERT_GT(unread(busy), 64 << 10) << "not a flood";
  bool timer = false;
  bool posted = false;
  loop_.post_after(std::chrono::milliseconds(1), [&] { timer = true; });
  clock_.advance(std::chrono::milliseconds(5));
  loop_.post([&] { posted = true; });
  size_t probe = connect();
  clients_[probe].unsent = "GET /probe HTTP/1.1\r\nHost: x\r\n\r\n";
  pump(probe);

  loop_.run_ready();
  EXPECT_TRUE(posted);
  EXPECT_TRUE(timer);
  EXPECT_EQ(hooks, 1);
  EXPECT_GT(unread(busy), 0) << "all of it was read in one turn";
  loop_.run_ready();
  pump(probe);
  EXPECT_TRUE(clients_[probe].received.ends_with("GET /probe [] "));
  EXPECT_GT(unread(busy), 0) << "all of it was read in two turns";
  // And it is served to its end, too.
  for (int turn = 0; turn < 1000; ++turn) {
    loop_.run_ready();
    pump(busy);
  }
  EXPECT_EQ(clients_[busy].unsent.size(), 0u);
  EXPECT_EQ(unread(busy), 0);
}

TEST_F(FairnessTest, WindowUpdates) {
  expect_fair(http2_with(frame(8, 0, 0, std::string("\0\0\0\1", 4)), 12000));
}

TEST_F(FairnessTest, EmptyData) { expect_fair(http2_with(frame(0, 0, 1, ""), 16000)); }

TEST_F(FairnessTest, PingAcks) { expect_fair(http2_with(frame(6, 1, 0, "12345678"), 8000)); }

TEST_F(FairnessTest, WellFormedCalls) {
  std::string out = cat(kPreface, frame(4, 0, 0, ""));
  for (uint32_t stream = 1; stream < 2000; stream += 2) {
    out += request_headers(stream) + frame(0, 1, stream, std::string(5, '\0'));
  }
  expect_fair(out);
}

TEST_F(FairnessTest, SmallChunksToNobody) {
  std::string out = "POST nobody HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 25000; ++i) out += "1\r\nx\r\n";
  expect_fair(out);
}

TEST_F(FairnessTest, WhoeverIsBeingShownOutAndGoesOnTalking) {
  expect_fair("garbage\r\n\r\n" + std::string(150'000, 'x'));
}

// More than any socket's buffer.
class Big final : public HttpHandler {
 public:
  static constexpr size_t kSize = 8 << 20;
  void handle(HttpRequest, HttpReplyRef reply) override {
    HttpResponse response;
    response.body = MessageParts(Bytes::copy(std::string(kSize, 'b')));
    reply->send(std::move(response));
  }
};

// Whoever takes its last answer slowly gets all of it; whoever does not take it is put out.
TEST_F(FairnessTest, TheLastAnswerMayBeTakenSlowly) {
  Big big;
  service_.router.http("/big", &big);
  const size_t slow = connect();
  const size_t stuck = connect();
  for (size_t client : {slow, stuck}) {
    clients_[client].unsent = "GET /big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    pump(client);
  }
  std::string buffer(100'000, ' ');
  size_t got = 0;
  for (int step = 0; step < 200; ++step) {
    for (int turn = 0; turn < 5; ++turn) loop_.run_ready();
    const ssize_t n = ::recv(clients_[slow].fd, buffer.data(), buffer.size(), 0);
    got += static_cast<size_t>(std::max<ssize_t>(n, 0));
    clock_.advance(std::chrono::seconds(5));
  }
  EXPECT_GT(got, Big::kSize);
  EXPECT_LT(got, Big::kSize + 1000);
  pump(stuck);
  EXPECT_LT(clients_[stuck].received.size(), Big::kSize / 2);
}

// A descriptor that is ready once.
class Ready final : private Watch {
 public:
  Ready(Loop* loop, Task task)
      : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)), task_(std::move(task)) {
    watch(&loop->impl().poller(), fd_);
  }
  ~Ready() {
    unwatch();
    ::close(fd_);
  }
  using Watch::call_again;
  // Becomes ready again: each write is an edge.
  void stir() {
    const uint64_t one = 1;
    EXPECT_EQ(::write(fd_, &one, sizeof(one)), static_cast<ssize_t>(sizeof(one)));
  }

 private:
  void on_ready(uint32_t) override { task_(); }
  const int fd_;
  Task task_;
};

TEST_F(FairnessTest, ATurnHasABoundInEvents) {
  int ran = 0;
  std::vector<std::unique_ptr<Ready>> ready;
  for (size_t i = 0; i < kHandlersPerTurn + 10; ++i) {
    ready.push_back(std::make_unique<Ready>(&loop_, [&] { ++ran; }));
  }
  loop_.run_ready();
  EXPECT_EQ(ran, static_cast<int>(kHandlersPerTurn));
  loop_.run_ready();
  EXPECT_EQ(ran, static_cast<int>(kHandlersPerTurn) + 10);
}

TEST_F(FairnessTest, ATurnHasABoundInTime) {
  int ran = 0;
  std::vector<std::unique_ptr<Ready>> ready;
  for (int i = 0; i < 4; ++i) {
    ready.push_back(std::make_unique<Ready>(&loop_, [&] {
      ++ran;
      clock_.advance(kTimePerTurn / 2);
    }));
  }
  loop_.run_ready();
  EXPECT_EQ(ran, 2);
  loop_.run_ready();
  EXPECT_EQ(ran, 4);
}

TEST_F(FairnessTest, WhoAsksToBeCalledAgainWaitsForTheNextTurn) {
  std::vector<int> ran;
  std::unique_ptr<Ready> greedy;
  greedy = std::make_unique<Ready>(&loop_, [&] {
    ran.push_back(1);
    greedy->call_again();
    greedy->call_again();
  });
  Ready other(&loop_, [&] { ran.push_back(2); });
  loop_.run_ready();
  EXPECT_EQ(ran, (std::vector<int>{1, 2}));
  Ready late(&loop_, [&] { ran.push_back(3); });
  loop_.run_ready();
  EXPECT_EQ(ran, (std::vector<int>{1, 2, 3, 1}));
  greedy.reset();
  EXPECT_EQ(loop_.run_ready(), 0u);
}

// More become ready than one look sees, again and again: who asked to be called is called all the
// same.
TEST_F(FairnessTest, ManyWhoAreReadyDoNotKeepOthersFromBeingCalledAgain) {
  int again = 0;
  std::unique_ptr<Ready> patient;
  patient = std::make_unique<Ready>(&loop_, [&] {
    ++again;
    patient->call_again();
  });
  std::vector<std::unique_ptr<Ready>> busy(300);
  for (auto& one : busy) {
    one = std::make_unique<Ready>(&loop_, [&one] { one->stir(); });
  }
  for (int turn = 0; turn < 10; ++turn) loop_.run_ready();
  EXPECT_GE(again, 5);
}

// Of two that are ready, whoever comes first ends the other.
TEST_F(FairnessTest, NobodyIsCalledAfterItsEnd) {
  int ran = 0;
  std::unique_ptr<Ready> a;
  std::unique_ptr<Ready> b;
  a = std::make_unique<Ready>(&loop_, [&] {
    ++ran;
    b.reset();
  });
  b = std::make_unique<Ready>(&loop_, [&] {
    ++ran;
    a.reset();
  });
  loop_.run_ready();
  loop_.run_ready();
  EXPECT_EQ(ran, 1);
}

TEST_F(FairnessTest, WhatWasPostedHasABoundInTime) {
  std::vector<int> ran;
  for (int i = 0; i < 4; ++i) {
    loop_.post([&, i] {
      ran.push_back(i);
      clock_.advance(kTimePerTurn / 2);
    });
  }
  loop_.run_ready();
  EXPECT_EQ(ran, (std::vector<int>{0, 1}));
  loop_.post([&] { ran.push_back(4); });
  loop_.run_ready();
  loop_.run_ready();
  EXPECT_EQ(ran, (std::vector<int>{0, 1, 2, 3, 4}));
}

// Takes its time over each call and each message, and notes which it was.
class Slow final : public UnaryHandler, public StreamHandler, public HttpHandler {
 public:
  Slow(ManualClock* clock, Duration takes) : clock_(*clock), takes_(takes) {}
  void handle(CallRef call, Bytes request) override {
    note(request);
    call->respond({});
  }
  std::unique_ptr<StreamReceiver> on_open(CallRef) override {
    return std::make_unique<Receiver>(this);
  }
  void handle(HttpRequest request, HttpReplyRef reply) override {
    note(Bytes::copy(request.query()));
    reply->send({});
  }
  std::vector<std::string> seen;

 private:
  struct Receiver final : StreamReceiver {
    explicit Receiver(Slow* s) : slow(s) {}
    void on_message(Bytes message) override { slow->note(message); }
    void on_half_close() override { slow->seen.push_back("end"); }
    Slow* slow;
  };
  void note(const Bytes& message) {
    clock_.advance(takes_);
    seen.push_back(message.str());
  }
  ManualClock& clock_;
  const Duration takes_;
};

std::string message(int number) {
  return std::string("\0\0\0\0\2", 5) + std::to_string(10 + number);
}

// One read brings all of it. It is served in order, no more than `each` in one turn of the loop,
// and nothing else waits for the rest.
void FairnessTest::expect_turns(const std::string& flood, const Slow& slow,
                                const std::vector<std::string>& all, size_t each) {
  size_t busy = connect();
  clients_[busy].unsent = flood;
  pump(busy);
  for (size_t turn = 1; slow.seen.size() < all.size() && turn < 100; ++turn) {
    bool posted = false;
    loop_.post([&] { posted = true; });
    loop_.run_ready();
    EXPECT_TRUE(posted);
    EXPECT_LE(slow.seen.size(), each * turn);
  }
  EXPECT_EQ(slow.seen, all);
}

TEST_F(FairnessTest, CallsThatTakeLong) {
  Slow slow(&clock_, kTimePerTurn / 4);
  service_.router.unary("/test.Slow/Unary", &slow);
  std::string calls = cat(kPreface, frame(4, 0, 0, ""));
  std::vector<std::string> all;
  for (int i = 0; i < 60; ++i) {
    const auto stream = static_cast<uint32_t>(2 * i + 1);
    calls += request_headers(stream, "/test.Slow/Unary") + frame(0, 1, stream, message(i));
    all.push_back(std::to_string(10 + i));
  }
  expect_turns(calls, slow, all, 8);
}

std::string plain_headers(uint32_t stream, std::string_view path) {
  return frame(1, 0x5, stream,
               field(":method", "GET") + field(":scheme", "http") + field(":path", path) +
                   field(":authority", "x"));
}

TEST_F(FairnessTest, PlainRequestsThatTakeLong) {
  Slow slow(&clock_, kTimePerTurn / 4);
  service_.router.http("/slow", &slow);
  std::string requests = cat(kPreface, frame(4, 0, 0, ""));
  std::vector<std::string> all;
  for (int i = 0; i < 60; ++i) {
    requests += plain_headers(static_cast<uint32_t>(2 * i + 1), cat("/slow?", i));
    if (i % 10 != 9) all.push_back(std::to_string(i));
  }
  // Some do not wait for their turn.
  for (int i = 9; i < 60; i += 10) {
    requests += frame(3, 0, static_cast<uint32_t>(2 * i + 1), std::string("\0\0\0\x8", 4));
  }
  expect_turns(requests, slow, all, 8);
}

// Nor for the end of the connection.
TEST_F(FairnessTest, PlainRequestsThatWaitWhenTheirConnectionEnds) {
  Slow slow(&clock_, kTimePerTurn / 4);
  service_.router.http("/slow", &slow);
  std::string requests = cat(kPreface, frame(4, 0, 0, ""));
  for (uint32_t i = 0; i < 60; ++i) requests += plain_headers(2 * i + 1, "/slow");
  clients_[connect()].unsent = requests;
  pump(0);
  loop_.run_ready();
  connections_[0]->close();
  for (int turn = 0; turn < 100; ++turn) loop_.run_ready();
  EXPECT_LE(slow.seen.size(), 8u);
}

TEST_F(FairnessTest, MessagesThatTakeLong) {
  Slow slow(&clock_, kTimePerTurn / 4);
  service_.router.stream("/test.Slow/Stream", MethodKind::kBidiStream, &slow);
  std::string stream = cat(kPreface, frame(4, 0, 0, ""), request_headers(1, "/test.Slow/Stream"));
  std::vector<std::string> all;
  std::string messages;
  for (int i = 0; i < 60; ++i) {
    messages += message(i);
    all.push_back(std::to_string(10 + i));
  }
  all.push_back("end");
  expect_turns(stream + frame(0, 1, 1, messages), slow, all, 9);
}

// Asks again while it is being flushed, for ever, and takes its time over it.
class Greedy final : public Flushable {
 public:
  Greedy(Loop* loop, ManualClock* clock, Duration takes)
      : loop_(*loop), clock_(*clock), takes_(takes) {}
  void flush() override {
    ++flushes;
    clock_.advance(takes_);
    if (again) loop_.impl().flush_later(this);
  }
  int flushes = 0;
  bool again = true;

 private:
  Loop& loop_;
  ManualClock& clock_;
  const Duration takes_;
};

TEST_F(FairnessTest, WritingHasABoundInEachTurn) {
  Greedy first(&loop_, &clock_, kTimePerTurn / 2);
  Greedy second(&loop_, &clock_, kTimePerTurn / 2);
  Greedy third(&loop_, &clock_, kTimePerTurn / 2);
  for (Greedy* who : {&first, &second, &third}) loop_.impl().flush_later(who);
  loop_.run_ready();
  EXPECT_EQ(first.flushes, 1);
  EXPECT_EQ(second.flushes, 1);
  EXPECT_EQ(third.flushes, 0);  // the time was up
  loop_.run_ready();
  EXPECT_EQ(third.flushes, 1);  // first in the next
  EXPECT_EQ(first.flushes, 2);
  EXPECT_EQ(second.flushes, 1);
  for (Greedy* who : {&first, &second, &third}) who->again = false;
  while (loop_.run_ready() > 0) {
  }
}

}  // namespace
}  // namespace keelson::net
