// What an HTTP/2 connection holds in memory: of requests that never end, of calls that are reused,
// and of answers that are made while they are sent.

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "net/test_client.h"
#include "net/test_frames.h"
#include "net/test_hpack.h"
#include "net/test_memory.h"
#include "net/test_service.h"

namespace keelson::net {
namespace {

using test::Answer;
using test::Client;
using test::framed;
using test::Headers;
using test::request;

class Http2MemoryTest : public testing::Test {
 protected:
  TestService service_;
  MemoryServer<Http2Session> server_{&service_.router};
};

// Calls are reused; what they held is not.
TEST_F(Http2MemoryTest, ACallThatWasLargeKeepsNothing) {
  if (!test::heap_is_told()) GTEST_SKIP() << "this allocator does not tell";
  Client client(&server_);
  constexpr size_t kMessage = 1 << 20;
  std::vector<int32_t> ids;
  for (int i = 0; i < 50; ++i) {
    ids.push_back(client.send(request("/test.Echo/Unary"),
                              framed(std::string(kMessage, 'x')).substr(0, kMessage), true));
    client.exchange();
  }
  const size_t full = test::heap_in_use();
  for (int32_t id : ids) client.reset(id);
  client.exchange();
  EXPECT_LT(test::heap_in_use() + 45 * kMessage, full);
}

TEST_F(Http2MemoryTest, RequestsThatNeverEndHoldABoundedMemory) {
  ListenerOptions options;
  options.connection_incoming = 8 << 20;
  MemoryServer<Http2Session> server(&service_.router, options);
  Client client(&server);
  constexpr size_t kMost = 1 << 20;
  std::vector<int32_t> ids;
  for (int i = 0; i < 20; ++i) {
    ids.push_back(client.send(request("/test.Echo/Unary"),
                              framed(std::string(kMost + 1, 'x')).substr(0, kMost), true));
    client.exchange();
  }
  size_t refused = 0;
  for (int32_t id : ids) refused += client[id].headers["grpc-status"] == "8" ? 1 : 0;
  EXPECT_GE(refused, 12u);
  EXPECT_LE(refused, 16u);
  EXPECT_EQ(client[ids.back()].headers["grpc-message"], "etcdserver: too many requests");
  // Others are served, and those that were there first once they end.
  int32_t small = client.send(request("/test.Echo/Unary"), framed("small"));
  client.exchange();
  EXPECT_EQ(client[small].headers["grpc-status"], "0");
  client.add(ids[0], std::string(6, 'x'), true);
  client.exchange();
  EXPECT_EQ(client[ids[0]].headers["grpc-status"], "0");
  for (int32_t id : ids) client.reset(id);
  client.exchange();
  int32_t again = client.send(request("/test.Echo/Unary"), framed(std::string(kMost, 'x')));
  client.exchange();
  EXPECT_EQ(client[again].headers["grpc-status"], "0");
}

TEST_F(Http2MemoryTest, AllConnectionsTogetherHoldABoundedMemory) {
  ListenerOptions options;
  options.budgets = std::make_shared<HeldBudgets>(1, /*most_incoming=*/1 << 20);
  MemoryServer<Http2Session> server(&service_.router, options);
  MemoryServer<Http2Session> others(&server, &service_.router, options);
  others.incoming().change(0, 2 << 20);
  Client client(&server);
  int32_t id = client.send(request("/test.Echo/Unary"), framed(std::string(500'000, 'x')), true);
  client.exchange();
  EXPECT_EQ(client[id].headers["grpc-status"], "8");
  EXPECT_LE(options.budgets->incoming->total(), (2u << 20) + (4u << 10));
  int32_t small = client.send(request("/test.Echo/Unary"), framed("small"));
  client.exchange();
  EXPECT_EQ(client[small].headers["grpc-status"], "0");
  others.incoming().change(2 << 20, 0);
}

// A value in a head may be as long as all of it, and comes in as it likes.
TEST_F(Http2MemoryTest, AValueThatNeverEndsHoldsABoundedMemory) {
  ListenerOptions options;
  options.connection_incoming = 500'000;
  MemoryServer<Http2Session> server(&service_.router, options);
  server.feed(test::beginning() +
              test::frame(kHeaders, kEndStream, 1,
                          "\x83\x86\x40\x01x" + test::hpack_number(0, 7, 1 << 20)));
  size_t sent = 0;
  for (; sent < 1'000'000 && !server.finished(); sent += kLongestFrame) {
    server.feed(test::frame(kContinuation, 0, 1, std::string(kLongestFrame, 'v')));
  }
  EXPECT_TRUE(server.finished());
  EXPECT_GE(sent, 500'000u - kLongestFrame);
  EXPECT_LE(sent, 500'000u + kLongestFrame);
}

// Takes no message until it is told to.
class Pausing final : public StreamHandler {
 public:
  class Receiver final : public StreamReceiver {
   public:
    void on_message(Bytes) override {}
  };
  std::unique_ptr<StreamReceiver> on_open(CallRef call) override {
    call->set_reading(false);
    calls.push_back(std::move(call));
    return std::make_unique<Receiver>();
  }
  std::vector<CallRef> calls;
};

TEST_F(Http2MemoryTest, TheConnectionsWindowComesBackAsItsBytesAreUsed) {
  Pausing pausing;
  service_.router.stream("/test.Pausing/Stream", MethodKind::kBidiStream, &pausing);
  ListenerOptions options;
  options.connection_window = 1 << 20;
  MemoryServer<Http2Session> server(&service_.router, options);
  Client client(&server);
  const std::string piece = framed(std::string(100'000, 'x'));
  std::vector<int32_t> ids;
  for (int i = 0; i < 6; ++i)
    ids.push_back(client.send(request("/test.Pausing/Stream"), piece, true));
  client.exchange();
  EXPECT_LE(client.window(), (1 << 20) - 500'000);
  // Half of it is for the others, however much waits.
  for (int i = 0; i < 20; ++i)
    ids.push_back(client.send(request("/test.Pausing/Stream"), piece, true));
  client.exchange();
  const int32_t other = client.send(request("/test.Echo/Unary"), framed(std::string(400'000, 'x')));
  client.exchange();
  EXPECT_EQ(client[other].headers["grpc-status"], "0");
  EXPECT_GE(server.incoming().bytes(), 2'000'000u);
  // What is used, or not wanted any more, counts no more.
  for (size_t i = 0; i < 12; ++i) pausing.calls[i]->set_reading(true);
  for (size_t i = 12; i < ids.size(); ++i) client.reset(ids[i]);
  client.exchange();
  EXPECT_GT(client.window(), (1 << 20) / 2);
  pausing.calls.clear();
}

// Any number of streams may be open, but not with any memory.
TEST_F(Http2MemoryTest, OpenStreamsHoldABoundedMemory) {
  ListenerOptions options;
  options.connection_incoming = 1 << 20;
  MemoryServer<Http2Session> server(&service_.router, options);
  Client client(&server);
  const Headers heads = request("/test.Echo/Stream", {{"x-some", std::string(7500, 'h')}});
  std::vector<int32_t> ids;
  for (int i = 0; i < 200; ++i) ids.push_back(client.send(heads, "", true));
  client.exchange();
  EXPECT_GE(server.session().streams(), 100u);
  EXPECT_LE(server.session().streams(), 120u);
  EXPECT_EQ(client[ids.back()].error, uint32_t{NGHTTP2_REFUSED_STREAM});
  for (int32_t id : ids) client.reset(id);
  client.exchange();
  EXPECT_EQ(server.session().streams(), 0u);
  const Headers small = request("/test.Echo/Stream");
  for (int i = 0; i < 2000; ++i) client.send(small, "", true);
  client.exchange();
  EXPECT_GE(server.session().streams(), 700u);
  EXPECT_LE(server.session().streams(), 1000u);
}

// Answers with many parts, of which all are the same bytes.
class ManyParts final : public UnaryHandler {
 public:
  static constexpr size_t kParts = 10'000;
  void handle(CallRef call, Bytes) override {
    Parts parts;
    for (size_t i = 0; i < kParts; ++i) parts.add(shared);
    call->respond(std::move(parts));
  }
  Bytes shared = Bytes::copy("part");
};

TEST_F(Http2MemoryTest, AnswersThatNobodyTakesHoldABoundedMemory) {
  ManyParts many;
  service_.router.unary("/test.Many/Unary", &many);
  ListenerOptions options;
  options.connection_outgoing = 4 << 20;
  MemoryServer<Http2Session> server(&service_.router, options);
  Client client(&server, /*window=*/100, /*auto_window=*/false);
  std::vector<int32_t> ids;
  for (int i = 0; i < 20; ++i) {
    ids.push_back(client.send(request("/test.Many/Unary"), framed("x")));
    client.exchange();
  }
  size_t refused = 0;
  for (int32_t id : ids) {
    if (client[id].headers["grpc-status"] != "8") continue;
    EXPECT_EQ(client[id].headers["grpc-message"], "etcdserver: too many requests");
    ++refused;
  }
  EXPECT_GE(refused, 10u);
  EXPECT_LE(refused, 16u);
  EXPECT_GE(server.outgoing().bytes(), 2u << 20);
  // With room again, calls are served; and who waits for one answer has it, whatever its size.
  for (int32_t id : ids) client.reset(id);
  client.exchange();
  EXPECT_EQ(server.outgoing().bytes(), 0u);
  int32_t again = client.send(request("/test.Many/Unary"), framed("x"));
  client.exchange();
  EXPECT_EQ(client[again].data.size(), 100u);
  EXPECT_FALSE(client[again].closed);
}

Headers plain(std::string_view path) {
  return {{":method", "POST"},
          {":scheme", "http"},
          {":path", std::string(path)},
          {":authority", "test"}};
}

// Answers with a megabyte, in one piece or in many.
class Megabyte final : public HttpHandler {
 public:
  void handle(HttpRequest request, HttpReplyRef reply) override {
    if (request.query().empty()) {
      HttpResponse response;
      response.body = MessageParts::copy(std::string(1 << 20, 'b'));
      return reply->send(std::move(response));
    }
    reply->begin({});
    for (int i = 0; i < 16; ++i) reply->write(MessageParts::copy(std::string(64 << 10, 'b')));
    reply->end();
  }
};

TEST_F(Http2MemoryTest, PlainAnswersThatNobodyTakesHoldABoundedMemory) {
  Megabyte megabyte;
  service_.router.http("/megabyte", &megabyte);
  ListenerOptions options;
  options.connection_outgoing = 8 << 20;
  MemoryServer<Http2Session> server(&service_.router, options);
  Client client(&server, /*window=*/100, /*auto_window=*/false);
  std::vector<int32_t> ids;
  for (int i = 0; i < 40; ++i) {
    ids.push_back(client.send(plain(i % 2 ? "/megabyte" : "/megabyte?pieces"), ""));
    client.exchange();
  }
  int refused = 0, cut = 0;
  for (int32_t id : ids) {
    refused += client[id].headers[":status"] == "429" ? 1 : 0;
    cut += client[id].error == NGHTTP2_INTERNAL_ERROR ? 1 : 0;
  }
  EXPECT_GE(refused + cut, 32);
  EXPECT_GE(cut, 1);
  EXPECT_LE(refused + cut, 33);
  EXPECT_GE(server.outgoing().bytes(), 6u << 20);
  EXPECT_LE(server.outgoing().bytes(), 8u << 20);
  for (int32_t id : ids) client.reset(id);
  client.exchange();
  EXPECT_EQ(server.outgoing().bytes(), 0u);
  int32_t again = client.send(plain("/megabyte"), "");
  client.exchange();
  EXPECT_EQ(client[again].headers[":status"], "200");
}

TEST_F(Http2MemoryTest, PlainRequestsThatNeverEndHoldABoundedMemory) {
  Megabyte megabyte;
  service_.router.http("/megabyte", &megabyte);
  ListenerOptions options;
  options.connection_incoming = 8 << 20;
  MemoryServer<Http2Session> server(&service_.router, options);
  Client client(&server);
  std::vector<int32_t> ids;
  for (int i = 0; i < 20; ++i) {
    ids.push_back(client.send(plain("/megabyte"), std::string(1 << 20, 'x'), true));
    client.exchange();
  }
  int refused = 0;
  for (int32_t id : ids) refused += client[id].headers[":status"] == "429" ? 1 : 0;
  EXPECT_GE(refused, 12);
  EXPECT_LE(refused, 13);
  client.add(ids[0], "", true);
  client.exchange();
  EXPECT_EQ(client[ids[0]].headers[":status"], "200");
}

TEST_F(Http2MemoryTest, AnAnswerThatIsItsConnectionsOnlyOneMayHaveAnySize) {
  ManyParts many;
  service_.router.unary("/test.Many/Unary", &many);
  ListenerOptions options;
  options.connection_outgoing = 1000;
  options.budgets = std::make_shared<HeldBudgets>(1, /*most_incoming=*/1 << 20, 10'000);
  MemoryServer<Http2Session> server(&service_.router, options);
  Client client(&server);
  int32_t id = client.send(request("/test.Many/Unary"), framed("x"));
  client.exchange();
  EXPECT_EQ(client[id].headers["grpc-status"], "0");
}

// Makes parts of 100 kB when it is told to.
class Maker final : public PartMaker {
 public:
  static constexpr size_t kSize = 100'000;
  void make(size_t number, absl::AnyInvocable<void(absl::StatusOr<Bytes>)> done) override {
    asked.push_back(number);
    waiting = std::move(done);
  }
  bool answer(absl::StatusOr<Bytes> part) {
    if (!waiting) return false;
    std::exchange(waiting, nullptr)(std::move(part));
    return true;
  }
  static Bytes part(size_t number) {
    return Bytes::copy(std::string(kSize, static_cast<char>('a' + number)));
  }
  std::vector<size_t> asked;
  absl::AnyInvocable<void(absl::StatusOr<Bytes>)> waiting;
};

class LateAnswer final : public UnaryHandler {
 public:
  void handle(CallRef call, Bytes) override {
    Parts parts = Parts::copy("head");
    for (size_t i = 0; i < 10; ++i) parts.add_late(Maker::kSize, maker, i);
    parts.add(Bytes::copy("tail"));
    call->respond(std::move(parts));
  }
  std::shared_ptr<Maker> maker = std::make_shared<Maker>();
};

TEST_F(Http2MemoryTest, PartsAreMadeWhenTheyAreWanted) {
  LateAnswer late;
  service_.router.unary("/test.Late/Unary", &late);
  Client client(&server_, /*window=*/250'000, /*auto_window=*/false);
  int32_t id = client.send(request("/test.Late/Unary"), framed("x"));
  client.exchange();
  std::string expected = framed(std::string(10 * Maker::kSize + 8, ' ')).substr(0, 5) + "head";
  EXPECT_EQ(client[id].data, expected);
  for (size_t i = 0; i < 10; ++i) expected.append(Maker::part(i).view());
  expected += "tail";
  // No more is made than the client takes, and a little.
  size_t made = 0;
  while (late.maker->answer(Maker::part(made))) {
    ++made;
    client.exchange();
  }
  EXPECT_LE(made, 7u);
  EXPECT_GE(client[id].data.size(), 60'000u);
  EXPECT_FALSE(client[id].closed);
  while (!client[id].closed) {
    client.grant(id, 60'000);
    client.exchange();
    if (late.maker->answer(Maker::part(made))) ++made;
    client.exchange();
  }
  EXPECT_EQ(client[id].data, expected);
  EXPECT_EQ(client[id].headers["grpc-status"], "0");
  EXPECT_EQ(late.maker->asked, (std::vector<size_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
  EXPECT_EQ(late.maker.use_count(), 1);
}

TEST_F(Http2MemoryTest, APartThatCannotBeMadeEndsTheStream) {
  LateAnswer late;
  service_.router.unary("/test.Late/Unary", &late);
  Client client(&server_);
  int32_t id = client.send(request("/test.Late/Unary"), framed("x"));
  client.exchange();
  ASSERT_TRUE(late.maker->answer(absl::DataLossError("gone")));
  client.exchange();
  EXPECT_TRUE(client[id].closed);
  EXPECT_EQ(client[id].error, uint32_t{NGHTTP2_INTERNAL_ERROR});
  EXPECT_EQ(client[id].headers.count("grpc-status"), 0u);
}

TEST_F(Http2MemoryTest, WhoTakesAnAnswerTooSlowlyLosesIt) {
  LateAnswer late;
  service_.router.unary("/test.Late/Unary", &late);
  Client client(&server_);
  int32_t id = client.send(request("/test.Late/Unary"), framed("x"));
  client.exchange();
  server_.advance(std::chrono::minutes(3));
  client.exchange();
  EXPECT_TRUE(client[id].closed);
  // A part that comes after that is nobody's.
  ASSERT_TRUE(late.maker->answer(Maker::part(0)));
  client.exchange();
  EXPECT_EQ(late.maker.use_count(), 1);
}

// A stream of messages whose parts are made late: some, and the one that was asked for.
class LateStream final : public StreamHandler {
 public:
  explicit LateStream(size_t last) : last_(last) {}
  std::unique_ptr<StreamReceiver> on_open(CallRef call) override {
    return std::make_unique<Receiver>(this, std::move(call));
  }
  std::shared_ptr<Maker> maker = std::make_shared<Maker>();

 private:
  class Receiver final : public StreamReceiver {
   public:
    Receiver(LateStream* owner, CallRef call) : owner_(*owner), call_(std::move(call)) {}
    void on_message(Bytes) override {
      for (size_t i = 0; i < 3; ++i) {
        Parts parts = Parts::copy("head");
        parts.add_late(Maker::kSize, owner_.maker, i);
        call_->send(std::move(parts));
      }
      Parts parts;
      parts.add_late(owner_.last_, owner_.maker, 3);
      call_->send(std::move(parts));
    }
    void on_half_close() override {}

   private:
    LateStream& owner_;
    const CallRef call_;
  };

  const size_t last_;
};

std::string three_messages() {
  std::string out;
  for (size_t i = 0; i < 3; ++i) out += framed("head" + std::string(Maker::part(i).view()));
  return out;
}

TEST_F(Http2MemoryTest, PartsOfAStreamsMessagesAreMadeWhenTheyAreWanted) {
  LateStream late(Maker::kSize);
  service_.router.stream("/test.Late/Stream", MethodKind::kServerStream, &late);
  Client client(&server_, /*window=*/10'000, /*auto_window=*/false);
  int32_t id = client.send(request("/test.Late/Stream", {{"grpc-timeout", "30S"}}), framed("x"));
  client.exchange();
  size_t made = 0;
  while (late.maker->answer(Maker::part(made))) {
    ++made;
    client.exchange();
  }
  EXPECT_LT(made, 4u);
  for (int i = 0; i < 200; ++i) {
    client.grant(id, 60'000);
    client.exchange();
    if (late.maker->answer(Maker::part(made))) ++made;
    client.exchange();
  }
  EXPECT_EQ(client[id].data, three_messages() + framed(std::string(Maker::part(3).view())));
  EXPECT_FALSE(client[id].closed);
  // The deadline has not been forgotten.
  server_.advance(std::chrono::seconds(31));
  client.exchange();
  EXPECT_TRUE(client[id].closed);
  EXPECT_EQ(client[id].headers["grpc-status"], "4");
}

TEST_F(Http2MemoryTest, WhoTakesAStreamsLatePartsTooSlowlyLosesIt) {
  LateStream late(Maker::kSize);
  service_.router.stream("/test.Late/Stream", MethodKind::kServerStream, &late);
  Client client(&server_);
  int32_t id = client.send(request("/test.Late/Stream"), framed("x"));
  client.exchange();
  server_.advance(std::chrono::minutes(3));
  client.exchange();
  EXPECT_TRUE(client[id].closed);
  ASSERT_TRUE(late.maker->answer(Maker::part(0)));
  client.exchange();
  EXPECT_EQ(late.maker.use_count(), 1);
}

// grpc-go's servers end the stream behind what went before, and so does this one: nothing of such a
// message is ever in memory.
TEST_F(Http2MemoryTest, AMessageThatIsTooLongEndsTheStream) {
  LateStream late(size_t{5} << 30);
  service_.router.stream("/test.Late/Stream", MethodKind::kServerStream, &late);
  Client client(&server_);
  int32_t id = client.send(request("/test.Late/Stream"), framed("x"));
  client.exchange();
  for (size_t made = 0; late.maker->answer(Maker::part(made)); ++made) client.exchange();
  EXPECT_EQ(client[id].data, three_messages());
  EXPECT_TRUE(client[id].closed);
  EXPECT_EQ(client[id].headers["grpc-status"], "8");
  EXPECT_EQ(client[id].headers["grpc-message"],
            "trying to send message larger than max (5368709120 vs. 2147483647)");
  EXPECT_EQ(late.maker->asked, (std::vector<size_t>{0, 1, 2}));
}

}  // namespace
}  // namespace keelson::net
