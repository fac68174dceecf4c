// The HTTP/2 connection in memory, with a clock of our own: what real clients cannot be made to do
// on demand, and what hostile ones do.

#include "net/http2_session.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "base/test_seeds.h"
#include "base/text.h"
#include "net/test_client.h"
#include "net/test_service.h"

namespace keelson::net {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using test::Answer;
using test::Client;
using test::framed;
using test::Headers;
using test::request;

class Http2SessionTest : public testing::Test {
 protected:
  TestService service_;
  MemoryServer<Http2Session> server_{&service_.router};
};

TEST_F(Http2SessionTest, UnaryAnswerOnTheWire) {
  Client client(&server_);
  int32_t id = client.send(request("/test.Echo/Unary"), framed("hello"));
  client.exchange();
  Answer& answer = client[id];
  EXPECT_EQ(answer.headers[":status"], "200");
  EXPECT_EQ(answer.headers["content-type"], "application/grpc");
  EXPECT_EQ(answer.headers["grpc-status"], "0");
  EXPECT_EQ(answer.blocks, 2);
  EXPECT_EQ(answer.data, framed("hello"));
  EXPECT_TRUE(answer.closed);
  EXPECT_EQ(answer.error, 0u);
  EXPECT_EQ(server_.session().streams(), 0u);
}

TEST_F(Http2SessionTest, ErrorsBeforeAMessageAreTrailersOnly) {
  Client client(&server_);
  int32_t id = client.send(request("/no.Such/Thing"), framed("x"));
  client.exchange();
  EXPECT_EQ(client[id].blocks, 1);
  EXPECT_EQ(client[id].headers["grpc-status"], "12");
  EXPECT_EQ(client[id].headers["grpc-message"], "unknown service no.Such");
  EXPECT_TRUE(client[id].closed);
}

struct Refusal {
  Headers headers;
  std::string http, code, message;
};

TEST_F(Http2SessionTest, UnfitRequestsAreRefusedAsGrpcGoDoes) {
  Headers plain = {
      {":method", "GET"}, {":scheme", "http"}, {":path", "nowhere"}, {":authority", "test"}};
  Headers get = request("/test.Echo/Unary");
  get[0].second = "GET";
  std::vector<Refusal> cases = {
      {plain, "415", "3", "invalid gRPC request content-type \"\""},
      {get, "405", "13", "Received a HEADERS frame with :method \"GET\" which should be POST"},
      {request("/test.Echo/Unary", {{"grpc-timeout", "1"}}), "400", "13",
       "malformed grpc-timeout: transport: timeout string is too short: \"1\""},
      {request("/test.Echo/Unary", {{"grpc-timeout", "123456789S"}}), "400", "13",
       "malformed grpc-timeout: transport: timeout string is too long: \"123456789S\""},
      {request("/test.Echo/Unary", {{"grpc-timeout", "1x"}}), "400", "13",
       "malformed grpc-timeout: transport: timeout unit is not recognized: \"1x\""},
      {request("/test.Echo/Unary", {{"grpc-timeout", "0S"}}), "200", "4",
       "context deadline exceeded"},
      {request("/test.Echo/Unary", {{"x-bin", "!"}}), "400", "13",
       "malformed binary metadata \"!\" in header \"x-bin\": illegal base64 data"},
  };
  Client client(&server_);
  for (const Refusal& c : cases) {
    int32_t id = client.send(c.headers, framed("x"));
    client.exchange();
    EXPECT_EQ(client[id].headers[":status"], c.http);
    EXPECT_EQ(client[id].headers["grpc-status"], c.code);
    EXPECT_EQ(client[id].headers["grpc-message"], c.message);
    EXPECT_TRUE(client[id].closed);
  }
  EXPECT_EQ(service_.counters.get("handled"), 0);
}

TEST_F(Http2SessionTest, DeadlineAnswersByTheClock) {
  Client client(&server_);
  int32_t id = client.send(request("/test.Echo/Unary", {{"grpc-timeout", "100m"}, {"hang", "1"}}),
                           framed("x"));
  client.exchange();
  server_.advance(milliseconds(99));
  client.exchange();
  EXPECT_FALSE(client[id].closed);
  server_.advance(milliseconds(2));
  client.exchange();
  EXPECT_EQ(client[id].headers["grpc-status"], "4");
  EXPECT_EQ(client[id].headers["grpc-message"], "context deadline exceeded");
  EXPECT_EQ(service_.counters.get("cancelled"), 1);
  service_.unary.release();  // an answer after the fact is dropped
  client.exchange();
  EXPECT_EQ(client[id].data, "");
}

TEST_F(Http2SessionTest, MessagesCutAnywhere) {
  for_each_seed(40, [this](uint64_t seed) {
    SeededRandom random(seed);
    const uint64_t round = random.below(10);
    MemoryServer<Http2Session> server(&service_.router);
    Client client(&server);
    std::string wire;
    for (uint64_t i = 1 + random.below(20); i > 0; --i) {
      wire += framed(std::string(random.below(round % 5 ? 50 : 60000), static_cast<char>('a' + i)));
    }
    int32_t id = client.send(request("/test.Echo/Stream"), "", true);
    for (size_t at = 0; at < wire.size();) {
      size_t n = std::min<size_t>(1 + random.below(round % 2 ? 7000 : 300), wire.size() - at);
      client.add(id, std::string_view(wire).substr(at, n));
      if (random.below(3) == 0) client.exchange();
      at += n;
    }
    client.add(id, "", true);
    client.exchange();
    ASSERT_TRUE(client[id].data == wire) << client[id].data.size() << " of " << wire.size();
    EXPECT_EQ(client[id].headers["grpc-status"], "0");
  });
}

TEST_F(Http2SessionTest, ALengthThatLiesCostsNothing) {
  Client client(&server_);
  std::string lie("\0\0\x1f\xff\xff", 5);  // 2 MiB promised
  int32_t id = client.send(request("/test.Echo/Unary"), lie + "few bytes");
  client.exchange();
  EXPECT_EQ(client[id].headers["grpc-status"], "13");
  EXPECT_EQ(client[id].headers["grpc-message"], "unexpected EOF");

  std::string huge("\0\xff\xff\xff\xff", 5);
  id = client.send(request("/test.Echo/Unary"), huge);
  client.exchange();
  EXPECT_EQ(client[id].headers["grpc-status"], "8");
  EXPECT_EQ(client[id].headers["grpc-message"],
            "grpc: received message larger than max (4294967295 vs. 2097152)");

  id = client.send(request("/test.Echo/Unary"), std::string("\7\0\0\0\1x", 6));
  client.exchange();
  EXPECT_EQ(client[id].headers["grpc-message"], "grpc: received unexpected payload format 7");

  id = client.send(request("/test.Echo/Unary"), std::string("\1\0\0\0\1x", 6));
  client.exchange();
  EXPECT_EQ(client[id].headers["grpc-message"],
            "grpc: compressed flag set with identity or empty encoding");

  id = client.send(request("/test.Echo/Unary"), "");
  client.exchange();
  EXPECT_EQ(client[id].headers["grpc-status"], "13");

  id = client.send(request("/test.Echo/Unary"), framed("a") + framed("b"));
  client.exchange();
  EXPECT_EQ(client[id].headers["grpc-status"], "13");
}

TEST_F(Http2SessionTest, AnswersWaitForTheWindow) {
  Client client(&server_, 1000, /*auto_window=*/false);
  int32_t id = client.send(request("/test.Echo/Unary", {{"reply", "100000"}}), framed(""));
  client.exchange();
  EXPECT_EQ(client[id].data.size(), 1000u);
  size_t before = 0;
  while (client[id].data.size() > before) {
    size_t got = client[id].data.size();
    client.grant(id, got - before);
    before = got;
    client.exchange();
  }
  EXPECT_EQ(client[id].data.size(), 100005u);
  EXPECT_EQ(client[id].headers["grpc-status"], "0");
}

TEST_F(Http2SessionTest, AFullSocketStopsThePull) {
  Client client(&server_, 1u << 30);
  server_.socket_full = true;
  int32_t id = client.send(request("/test.Echo/Flood", {{"flood", "1000 65536"}}), framed(""));
  client.exchange();
  EXPECT_LE(service_.stream.peak, size_t{400} << 10);
  server_.socket_full = false;
  client.exchange();
  EXPECT_GE(client[id].data.size(), 65536u - 5);
}

TEST_F(Http2SessionTest, TooManyPings) {
  Client client(&server_);
  int32_t id = client.send(request("/test.Echo/Unary", {{"hang", "1"}}), framed(""));
  client.exchange();
  // With a call running, five seconds apart is polite.
  for (int i = 0; i < 10; ++i) {
    client.ping();
    client.exchange();
    server_.advance(seconds(5));
  }
  EXPECT_EQ(client.goaways, 0);
  // Two strikes are forgiven, the third is not.
  for (int i = 0; i < 3; ++i) {
    client.ping();
    client.exchange();
    EXPECT_EQ(client.goaways, 0) << i;
  }
  client.ping();
  client.exchange();
  EXPECT_EQ(client.goaways, 1);
  EXPECT_EQ(client.goaway_code, static_cast<uint32_t>(NGHTTP2_ENHANCE_YOUR_CALM));
  EXPECT_EQ(client.goaway_text, "too_many_pings");
  EXPECT_TRUE(server_.finished());
  EXPECT_FALSE(client[id].closed);
  service_.unary.forget();
}

TEST_F(Http2SessionTest, PingsOfAnIdleClientAreStrikes) {
  Client client(&server_);
  for (int i = 0; i < 3; ++i) {
    client.ping();
    client.exchange();
    server_.advance(seconds(60));
  }
  EXPECT_EQ(client.goaways, 0);
  client.ping();
  client.exchange();
  EXPECT_EQ(client.goaways, 1);
}

TEST_F(Http2SessionTest, OurAnswersForgivePings) {
  Client client(&server_);
  for (int i = 0; i < 20; ++i) {
    client.send(request("/test.Echo/Unary"), framed("x"));
    client.exchange();
    client.ping();
    client.exchange();
  }
  EXPECT_EQ(client.goaways, 0);
}

TEST_F(Http2SessionTest, KeepaliveClosesADeadConnection) {
  {
    Client client(&server_);
    client.send(request("/test.Echo/Stream"), "", true);
    client.exchange();
    server_.advance(hours(2) + seconds(1));
    EXPECT_FALSE(server_.finished());
    client.exchange();
    EXPECT_EQ(client.pings, 1);  // and nghttp2 acknowledges it
    server_.advance(hours(2) - seconds(30));
    EXPECT_FALSE(server_.finished());
  }
  server_.advance(seconds(60));  // the second ping is out; nobody is there
  server_.advance(seconds(21));
  EXPECT_TRUE(server_.finished());
}

TEST_F(Http2SessionTest, DrainLetsRunningCallsFinish) {
  Client client(&server_);
  int32_t id = client.send(request("/test.Echo/Unary", {{"hang", "1"}}), framed(""));
  client.exchange();
  server_.session().drain();
  client.exchange();
  EXPECT_EQ(client.goaways, 2);
  EXPECT_EQ(client.goaway_last, id);
  EXPECT_FALSE(server_.finished());
  service_.unary.release();
  client.exchange();
  EXPECT_EQ(client[id].headers["grpc-status"], "0");
  EXPECT_TRUE(server_.finished());
}

TEST_F(Http2SessionTest, ResetCancels) {
  Client client(&server_);
  int32_t unary = client.send(request("/test.Echo/Unary", {{"hang", "1"}}), framed(""));
  int32_t stream = client.send(request("/test.Echo/Stream"), "", true);
  client.exchange();
  client.reset(unary);
  client.reset(stream);
  client.exchange();
  EXPECT_EQ(service_.counters.get("cancelled"), 2);
  EXPECT_EQ(service_.counters.get("destroyed"), 1);
  service_.unary.release();
  client.exchange();
  EXPECT_EQ(server_.session().streams(), 0u);
}

TEST_F(Http2SessionTest, ResetFloodEndsTheConnection) {
  Client client(&server_);
  int resets = 0;
  for (; resets < 60000 && !server_.finished(); resets += 100) {
    std::vector<int32_t> ids;
    for (int i = 0; i < 100; ++i)
      ids.push_back(client.send(request("/test.Echo/Stream"), "", true));
    client.exchange();
    for (int32_t id : ids) client.reset(id);
    client.exchange();
  }
  EXPECT_TRUE(server_.finished());
  EXPECT_GE(resets, 20000);
}

// CVE-2025-8671: the client has us do the resetting.
TEST_F(Http2SessionTest, AFloodOfFaultsEndsTheConnection) {
  std::string bytes = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  bytes += std::string("\0\0\0\4\0\0\0\0\0", 9);  // SETTINGS
  server_.feed(bytes);
  // Each head has no field that is known; a block of one that is no request's.
  int32_t stream = 1;
  for (; stream < 60000 && !server_.finished(); stream += 2) {
    std::string frame("\0\0\1\1\5\0\0\0\0\x88", 10);  // HEADERS, ":status: 200"
    frame[7] = static_cast<char>(stream >> 8);
    frame[8] = static_cast<char>(stream);
    server_.feed(frame);
    server_.take();
  }
  EXPECT_TRUE(server_.finished());
  EXPECT_GE(stream / 2, 20000);
  EXPECT_LE(stream / 2, 20001);
}

// Writes down what it is told.
class Diary final : public CallObserver {
 public:
  void call_started(const ServerCall& call) override {
    text += "start " + call.method().name + "\n";
  }
  void message_received(const ServerCall& call, const Bytes& message) override {
    text += cat("in ", call.method().name, " ", message.size(), "\n");
  }
  void message_sent(const ServerCall& call, const MessageParts& message) override {
    text += cat("out ", call.method().name, " ", message.size(), "\n");
  }
  void call_finished(const ServerCall& call, const CallSummary& s) override {
    text += cat("end ", call.method().name, " ", static_cast<int>(s.code), " after ",
                s.elapsed / milliseconds(1), " ms\n");
    if (s.response) text += cat("answer ", s.response->size(), "\n");
    if (call.kept_request()) text += cat("kept ", call.kept_request()->bytes.str(), "\n");
    if (!s.text.empty()) text += cat("text ", s.text, "\n");
  }
  std::string text;
};

TEST_F(Http2SessionTest, ObserverSeesEveryCallOnce) {
  Diary diary;
  MemoryServer<Http2Session> server(&service_.router, {}, &diary);
  Client client(&server);
  client.send(request("/test.Echo/Unary", {{"keep", "1"}}), framed("hello"));
  client.exchange();
  client.send(request("/no.Such/Method"), framed("hello"));
  client.send(request("/test.Echo/Unary", {{"fail-bin", "OSB4"}}), framed("x"));  // "9 x"
  client.exchange();
  client.send(request("/test.Echo/Unary", {{"hang", "1"}, {"keep", "1"}, {"grpc-timeout", "2S"}}),
              framed("late"));
  int32_t stream = client.send(request("/test.Echo/Stream"), framed("ab"), true);
  client.exchange();
  server.advance(seconds(3));
  client.reset(stream);
  client.exchange();
  service_.unary.release();
  client.exchange();
  EXPECT_EQ(diary.text,
            "start Unary\nin Unary 5\nout Unary 5\n"
            "end Unary 0 after 0 ms\nanswer 5\nkept hello\n"
            "start Unary\nin Unary 1\nend Unary 9 after 0 ms\ntext x\n"
            "start Stream\nstart Unary\nin Unary 4\nin Stream 2\nout Stream 2\n"
            "end Unary 4 after 2000 ms\nkept late\ntext context deadline exceeded\n"
            "end Stream 1 after 3000 ms\ntext context canceled\n");
}

// Reads nothing until told to.
class Pausing final : public StreamHandler {
 public:
  std::unique_ptr<StreamReceiver> on_open(CallRef call) override {
    call_ = call;
    call->set_reading(false);
    return std::make_unique<Receiver>(this);
  }
  CallRef call_;
  std::string got;
  bool half_closed = false;

 private:
  class Receiver final : public StreamReceiver {
   public:
    explicit Receiver(Pausing* owner) : owner_(*owner) {}
    void on_message(Bytes message) override {
      owner_.got += message.str() + ",";
      // One at a time.
      owner_.call_->set_reading(false);
    }
    void on_half_close() override { owner_.half_closed = true; }

   private:
    Pausing& owner_;
  };
};

TEST_F(Http2SessionTest, AReceiverThatPausesHoldsTheClientBack) {
  Pausing pausing;
  Router router;
  router.stream("/test.Echo/Pausing", MethodKind::kBidiStream, &pausing);
  ListenerOptions options;
  options.stream_window = 65535;
  MemoryServer<Http2Session> server(&router, options);
  Client client(&server);
  std::string big(50000, 'b');
  int32_t id = client.send(request("/test.Echo/Pausing"), framed("a") + framed(big), true);
  client.add(id, framed("c") + framed(big) + framed("d"), true);
  client.exchange();
  EXPECT_EQ(pausing.got, "");
  std::string wanted;
  for (const std::string& message :
       {std::string("a"), big, std::string("c"), big, std::string("d")}) {
    EXPECT_FALSE(pausing.half_closed);
    wanted += message + ",";
    pausing.call_->set_reading(true);
    client.exchange();
    EXPECT_TRUE(pausing.got == wanted) << pausing.got.size() << " " << wanted.size();
  }
  pausing.call_->set_reading(true);
  client.exchange();
  EXPECT_TRUE(pausing.half_closed);
  pausing.call_->finish(absl::OkStatus());
  client.exchange();
  EXPECT_EQ(client[id].headers["grpc-status"], "0");
  pausing.call_ = CallRef();
}

TEST_F(Http2SessionTest, HugeHeadersAreRefused) {
  Client client(&server_);
  Headers huge = request("/test.Echo/Unary");
  for (int i = 0; i < 20; ++i) huge.push_back({"big", std::string(60'000, 'h')});
  int32_t id = client.send(huge, framed("x"));
  client.exchange();
  EXPECT_TRUE(client[id].closed);
  EXPECT_EQ(client[id].error, static_cast<uint32_t>(NGHTTP2_FRAME_SIZE_ERROR));
  id = client.send(request("/test.Echo/Unary"), framed("x"));
  client.exchange();
  EXPECT_EQ(client[id].headers["grpc-status"], "0");
}

TEST_F(Http2SessionTest, ContinuationFloodEndsTheConnection) {
  std::string bytes = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  bytes += std::string("\0\0\0\4\0\0\0\0\0", 9);       // SETTINGS
  bytes += std::string("\0\0\1\1\0\0\0\0\1\x82", 10);  // HEADERS without END_HEADERS
  for (int i = 0; i < 1000; ++i) bytes += std::string("\0\0\1\x9\0\0\0\0\1\x82", 10);
  server_.feed(bytes);
  EXPECT_TRUE(server_.finished());
}

TEST_F(Http2SessionTest, GarbageEndsTheConnection) {
  for_each_seed(200, [this](uint64_t seed) {
    SeededRandom random(seed);
    const uint64_t round = random.below(12);
    MemoryServer<Http2Session> server(&service_.router);
    std::string bytes = round % 2 ? "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" : "";
    if (round % 4 == 1) bytes += std::string("\0\0\0\4\0\0\0\0\0", 9);
    for (uint64_t n = random.below(2000); n > 0; --n) {
      bytes.push_back(static_cast<char>(random.below(round % 3 ? 256 : 12)));
    }
    server.feed(bytes);
  });
}

}  // namespace
}  // namespace keelson::net
