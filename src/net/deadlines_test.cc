// How long a client may take for its part, and that one that has gone is noticed.

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/text.h"
#include "net/connection.h"
#include "net/tcp.h"
#include "net/test_client.h"
#include "net/test_service.h"

namespace keelson::net {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using test::Client;
using test::framed;
using test::request;

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

std::string frame(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload) {
  std::string out = big32(static_cast<uint32_t>(payload.size())).substr(1);
  out += {static_cast<char>(type), static_cast<char>(flags)};
  return out + big32(stream) + std::string(payload);
}

class Http1Deadlines : public testing::Test {
 protected:
  // Says one byte of `text` each second, and nothing more; how long the connection lasted, at most
  // `limit`.
  seconds lasts(std::string_view text, seconds limit = minutes(20)) {
    seconds time{0};
    for (; time < limit && !server_.finished(); ++time) {
      if (!text.empty()) {
        server_.feed(text.substr(0, 1));
        text.remove_prefix(1);
      }
      server_.advance(seconds(1));
    }
    return time;
  }
  TestService service_;
  MemoryServer<Http1Session> server_{&service_.router};
};

TEST_F(Http1Deadlines, AHeadHasHalfAMinute) {
  EXPECT_LE(lasts("GET / HTTP/1.1\r\nHost: x\r\nA-Field-That-Goes-On-And-On: and on"), seconds(31));
}

TEST_F(Http1Deadlines, SilenceInABodyHasHalfAMinute) {
  server_.feed("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n");
  EXPECT_LE(lasts("abc"), seconds(34));
}

TEST_F(Http1Deadlines, AWholeBodyHasFiveMinutes) {
  server_.feed("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n");
  const seconds time = lasts(std::string(999, 'b'));
  EXPECT_GE(time, minutes(5));
  EXPECT_LE(time, minutes(5) + seconds(1));
}

TEST_F(Http1Deadlines, BetweenTwoRequestsAreFiveMinutes) {
  server_.feed("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  server_.advance(minutes(4));
  server_.feed("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  const seconds time = lasts("");
  EXPECT_GE(time, minutes(5));
  EXPECT_LE(time, minutes(5) + seconds(1));
}

// Takes a body for as long as it comes, and answers when it likes.
class Slow final : public HttpStreamHandler, public HttpHandler {
 public:
  class Receiver final : public HttpBodyReceiver {
    void on_body(Bytes) override {}
    void on_end() override {}
  };
  std::unique_ptr<HttpBodyReceiver> on_open(HttpRequest, HttpReplyRef reply) override {
    replies.push_back(std::move(reply));
    return std::make_unique<Receiver>();
  }
  void handle(HttpRequest, HttpReplyRef reply) override { replies.push_back(std::move(reply)); }
  std::vector<HttpReplyRef> replies;
};

TEST_F(Http1Deadlines, AStreamedBodyAndAHandlerHaveAnyTime) {
  Slow slow;
  Router router;
  router.http_stream("/stream", &slow);
  router.http("/slow", static_cast<HttpHandler*>(&slow));
  MemoryServer<Http1Session> stream(&router);
  stream.feed("POST /stream HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n");
  for (int i = 0; i < 60; ++i) {
    stream.feed("b");
    stream.advance(seconds(20));
  }
  EXPECT_FALSE(stream.finished());
  stream.advance(seconds(11));
  EXPECT_TRUE(stream.finished());
  MemoryServer<Http1Session> handler(&router);
  handler.feed("POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nb");
  handler.advance(minutes(30));
  EXPECT_FALSE(handler.finished());
  stream.close();
  handler.close();
}

class Http2Deadlines : public testing::Test {
 protected:
  TestService service_;
  MemoryServer<Http2Session> server_{&service_.router};
};

TEST_F(Http2Deadlines, TheFirstSettingsHaveHalfAMinute) {
  server_.feed(kPreface);
  server_.advance(seconds(29));
  EXPECT_FALSE(server_.finished());
  server_.advance(seconds(2));
  EXPECT_TRUE(server_.finished());
}

TEST_F(Http2Deadlines, AHeadHasHalfAMinute) {
  server_.feed(cat(kPreface, frame(4, 0, 0, ""), frame(1, 0, 1, "\x83")));
  for (int i = 0; i < 10; ++i) {
    server_.advance(seconds(5));
    server_.feed(frame(9, 0, 1, "\x86"));
  }
  EXPECT_TRUE(server_.finished());
}

TEST_F(Http2Deadlines, ManyHeadsOneAfterTheOther) {
  server_.feed(cat(kPreface, frame(4, 0, 0, "")));
  for (uint32_t stream = 1; stream < 21; stream += 2) {
    server_.feed(frame(1, 1, stream, "\x83\x86"));
    server_.advance(seconds(10));
    server_.feed(frame(9, 4, stream, "\x84"));
    server_.advance(seconds(15));
  }
  EXPECT_FALSE(server_.finished());
}

// A connection without a call is asked after five minutes of silence, and goes when nobody answers.
TEST_F(Http2Deadlines, AnIdleConnectionIsAsked) {
  {
    Client client(&server_);
    client.send(request("/test.Echo/Unary"), framed("x"));
    client.exchange();
    server_.advance(minutes(5) + seconds(1));
    client.exchange();
    EXPECT_EQ(client.pings, 1);
    server_.advance(minutes(4));
    EXPECT_FALSE(server_.finished());
  }
  server_.advance(minutes(1) + seconds(22));
  EXPECT_TRUE(server_.finished());
}

// A whole connection on a socket, with a clock that the test turns.
class LastAnswer : public testing::Test {
 protected:
  static constexpr size_t kBig = 24 << 20;
  class Handler final : public HttpHandler {
    void handle(HttpRequest, HttpReplyRef reply) override {
      HttpResponse response;
      response.body = MessageParts::copy(std::string(kBig, 'b'));
      reply->send(std::move(response));
    }
  };

  LastAnswer() {
    router_.http("/big", &handler_);
    int pair[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    client_ = pair[1];
    ListenerOptions options;
    options.budgets = std::make_shared<HeldBudgets>(1);
    auto server = std::make_shared<const ServerContext>(&router_, nullptr, options);
    connection_ = std::make_shared<Connection>(server, &loop_, pair[0], PeerInfo{.address = "test"},
                                               [this](Connection*) { closed_ = true; });
    connection_->start();
    const std::string_view asked = "GET /big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    EXPECT_EQ(::write(client_, asked.data(), asked.size()), static_cast<ssize_t>(asked.size()));
    settle();
  }
  ~LastAnswer() override {
    connection_->close();
    settle();
    ::close(client_);
  }

  void settle() {
    while (loop_.run_ready() > 0) {
    }
  }
  void advance(seconds time) {
    for (; time > seconds(0); time -= seconds(1)) {
      clock_.advance(seconds(1));
      settle();
    }
  }
  // What is there; 0: nothing, or the end.
  size_t take() {
    std::string buffer(1 << 20, ' ');
    const ssize_t n = ::read(client_, buffer.data(), buffer.size());
    settle();
    return n < 0 ? 0 : static_cast<size_t>(n);
  }

  ManualClock clock_;
  Loop loop_{&clock_};
  Router router_;
  Handler handler_;
  int client_ = -1;
  std::shared_ptr<Connection> connection_;
  bool closed_ = false;
};

TEST_F(LastAnswer, IsNotCutOffForWhoTakesItSlowly) {
  size_t taken = 0;
  while (size_t n = take()) {
    taken += n;
    advance(seconds(20));
  }
  EXPECT_GT(taken, kBig);
  advance(seconds(2));
  EXPECT_TRUE(closed_);
}

TEST_F(LastAnswer, IsNotKeptForWhoDoesNotTakeIt) {
  take();
  advance(seconds(29));
  EXPECT_FALSE(closed_);
  advance(seconds(32));
  EXPECT_TRUE(closed_);
}

TEST_F(LastAnswer, HasASecondForEachPartWhenTheServerEnds) {
  connection_->drain();
  size_t taken = 0;
  while (size_t n = take()) {
    taken += n;
    clock_.advance(std::chrono::milliseconds(900));
    settle();
  }
  EXPECT_GT(taken, kBig);
}

TEST_F(LastAnswer, IsGivenUpWhenTheServerEndsAndNobodyTakesIt) {
  connection_->drain();
  advance(seconds(3));
  EXPECT_TRUE(closed_);
}

TEST(TcpOptions, AGonePeerIsNoticedWithinAMinute) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  set_tcp_options(fd);
  auto value = [fd](int level, int name) {
    int out = 0;
    socklen_t size = sizeof(out);
    EXPECT_EQ(getsockopt(fd, level, name, &out, &size), 0);
    return out;
  };
  EXPECT_EQ(value(SOL_SOCKET, SO_KEEPALIVE), 1);
  EXPECT_EQ(value(IPPROTO_TCP, TCP_KEEPIDLE), 30);
  EXPECT_LE(value(IPPROTO_TCP, TCP_KEEPIDLE) +
                value(IPPROTO_TCP, TCP_KEEPINTVL) * value(IPPROTO_TCP, TCP_KEEPCNT),
            60);
  EXPECT_EQ(value(IPPROTO_TCP, TCP_USER_TIMEOUT), 60'000);
  ::close(fd);
}

}  // namespace
}  // namespace keelson::net
