// What the headers of a request may be, what they may not, and what they may cost.

#include <gtest/gtest.h>

#include <set>

#include "base/text.h"
#include "net/test_client.h"
#include "net/test_frames.h"
#include "net/test_service.h"

namespace keelson::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::Client;
using test::frame;
using test::framed;
using test::Headers;
using test::request;

constexpr char kUnary[] = "/test.Echo/Unary";

class Http2HeadTest : public testing::Test {
 protected:
  // The call's status, or "reset CODE".
  std::string outcome(const Headers& headers) {
    int32_t id = client_.send(headers, framed("x"));
    client_.exchange();
    EXPECT_TRUE(client_[id].closed);
    if (client_[id].error != 0) return cat("reset ", client_[id].error);
    return client_[id].headers["grpc-status"];
  }

  TestService service_;
  MemoryServer<Http2Session> server_{&service_.router};
  Client client_{&server_};
};

// What was right in the last request is right again only where it stood.
TEST_F(Http2HeadTest, FieldsThatComeWithEachRequest) {
  const Headers usual = request(kUnary, {{"client-api-version", "3.7"}});
  Headers twice = usual;
  twice.insert(twice.begin() + 1, usual[0]);
  Headers late = usual;
  std::swap(late[3], late[4]);
  Headers wrong = usual;
  wrong.back().second = "3.7\n";
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(outcome(usual), "0");
    EXPECT_EQ(outcome(usual), "0");
    EXPECT_EQ(outcome(twice), "reset 1");
    EXPECT_EQ(outcome(late), "reset 1");
    EXPECT_EQ(outcome(wrong), "reset 1");
  }
}

Headers with_authority(std::string_view authority) {
  Headers headers = request(kUnary);
  headers[3].second = authority;
  return headers;
}

// All of these are taken by etcd 3.7.1.
TEST_F(Http2HeadTest, AnyAuthorityIsTaken) {
  const std::vector<std::string> authorities = {
      "",
      "localhost",
      "127.0.0.1:2379",
      "[::1]:2379",
      "user@host",
      "#initially=[http://127.0.0.1:2379]",
      "#initially=[http://a:1;http://b:2]",
      "/tmp/x.sock",
      "unix:/tmp/x.sock",
      "unix:///tmp/x.sock",
      "localhost:/tmp/x.sock",
      "etcd-endpoints://0xc000123456/127.0.0.1:2379",
      "http://127.0.0.1:2379",
      "a/b",
      "a#b",
      "a?b=c",
      "a|b",
      "{a}",
      "a\\b",
      "a\"b\"",
      "a b",
      " a",
      "a%zz",
      "<a>^`",
      "h\xc3\xb6st",
      "\xff\xfe",
  };
  EXPECT_EQ(std::set<std::string>(authorities.begin(), authorities.end()).size(), 26u);
  for (const std::string& authority : authorities) {
    EXPECT_EQ(outcome(with_authority(authority)), "0") << authority;
  }
  Headers without = request(kUnary);
  without.erase(without.begin() + 3);
  EXPECT_EQ(outcome(without), "0");
}

// Answers with what it sees.
class Mirror final : public UnaryHandler {
 public:
  void handle(CallRef call, Bytes) override {
    std::string seen = cat(call->authority(), "|");
    call->each_metadata(
        [&](std::string_view name, std::string_view value) { seen += cat(name, "=", value, ";"); });
    call->respond(MessageParts::copy(seen));
  }
};

TEST_F(Http2HeadTest, WhatTheHandlerSees) {
  Mirror mirror;
  Router router;
  router.unary("/test.Echo/Mirror", &mirror);
  MemoryServer<Http2Session> server(&router);
  Client client(&server);
  auto seen = [&](const Headers& headers) {
    int32_t id = client.send(headers, framed(""));
    client.exchange();
    return client[id].data.substr(kGrpcPrefix);
  };
  Headers more = {{"user-agent", "x"},          {"host", "other"}, {"token", "t"},
                  {"grpc-status", "3"},         {"token", "u"},    {"x", ""},
                  {"grpc-encoding", "identity"}};
  EXPECT_EQ(seen(request("/test.Echo/Mirror", more)), "test|token=t;token=u;x=;");
  Headers by_host = request("/test.Echo/Mirror", {{"host", "h"}});
  by_host.erase(by_host.begin() + 3);
  EXPECT_EQ(seen(by_host), "h|");
}

TEST_F(Http2HeadTest, WhatIsNoRequestIsReset) {
  const std::string malformed = cat("reset ", static_cast<int>(NGHTTP2_PROTOCOL_ERROR));
  const std::vector<Headers> bad = {
      {{"with space", "x"}},  {{"", "x"}},
      {{"x", "line\nbreak"}}, {{"x", std::string(1, 0)}},
      {{"x", "\x7f"}},        {{"connection", "close"}},
      {{":path", "/again"}},  {{":scheme", "after"}},
  };
  for (const Headers& more : bad) {
    EXPECT_EQ(outcome(request(kUnary, more)), malformed) << more[0].first << more[0].second;
  }
  auto in_front = [](const std::string& name, const std::string& value) {
    Headers headers = request(kUnary);
    headers.insert(headers.begin(), {name, value});
    return headers;
  };
  EXPECT_EQ(outcome(in_front(":unknown", "x")), malformed);
  EXPECT_EQ(outcome(in_front(":status", "200")), malformed);
  EXPECT_EQ(outcome(in_front(":path", "/twice")), malformed);
  EXPECT_EQ(outcome(in_front("early", "x")), malformed);
  EXPECT_EQ(outcome(with_authority("a\r\nb")), malformed);
  EXPECT_EQ(outcome(request(kUnary)), "0");  // the connection lives
}

TEST_F(Http2HeadTest, TwoHostsAreOneTooMany) {
  int32_t id = client_.send(request(kUnary, {{"host", "a"}, {"host", "b"}}), framed("x"));
  client_.exchange();
  EXPECT_EQ(client_[id].headers[":status"], "400");
  EXPECT_EQ(client_[id].headers["grpc-status"], "13");
  EXPECT_EQ(client_[id].headers["grpc-message"],
            "num values of :authority: 1, num values of host: 2, both must only have 1 value as "
            "per HTTP/2 spec");
}

TEST_F(Http2HeadTest, AMegabyteOfMetadataIsTaken) {
  auto big = [](int fields) {
    Headers headers;
    for (int i = 0; i < fields; ++i) headers.push_back({"big", std::string(64 << 10, 'm')});
    return headers;
  };
  EXPECT_EQ(outcome(request(kUnary, big(16))), "0");
  Headers many;
  for (int i = 0; i < 4000; ++i) many.push_back({cat("x", i), std::string(200, 'm')});
  EXPECT_EQ(outcome(request(kUnary, many)), "0");
  const std::string too_long = cat("reset ", static_cast<int>(NGHTTP2_FRAME_SIZE_ERROR));
  EXPECT_EQ(outcome(request(kUnary, big(18))), too_long);
  // In one piece as well.
  for (const size_t size : {(64 << 10) + 1, 200 << 10, 1 << 20}) {
    EXPECT_EQ(outcome(request(kUnary, {{"one", std::string(size, 'm')}})), "0") << size;
    EXPECT_EQ(outcome(request(kUnary, {{std::string(size, 'n'), "one"}})), "0") << size;
  }
  EXPECT_EQ(outcome(request(kUnary, {{"one", std::string((1 << 20) + (64 << 10), 'm')}})),
            too_long);
  EXPECT_EQ(outcome(request(kUnary)), "0");
}

// What one connection's open calls may hold together is bounded, however many streams it may have.
TEST_F(Http2HeadTest, LargeHeadsDoNotAddUp) {
  std::vector<int32_t> ids;
  Headers large = request("/test.Echo/Stream");
  for (int i = 0; i < 16; ++i) large.push_back({"big", std::string(64 << 10, 'm')});
  for (int i = 0; i < 6; ++i) {
    ids.push_back(client_.send(large, "", true));
    client_.exchange();
  }
  EXPECT_EQ(server_.session().streams(), 3u);
  EXPECT_EQ(client_[ids[5]].error, static_cast<uint32_t>(NGHTTP2_REFUSED_STREAM));
  for (int i = 0; i < 20000; ++i) client_.send(request("/test.Echo/Stream"), "", true);
  client_.exchange();
  EXPECT_EQ(server_.session().streams(), 20003u);  // the usual ones are not large
  client_.reset(ids[0]);
  client_.exchange();
  client_.send(large, "", true);
  client_.exchange();
  EXPECT_EQ(server_.session().streams(), 20003u);
}

// One field of 4000 bytes in the decoder's table, then a byte for each time it is said again.
TEST_F(Http2HeadTest, ABombIsNotUnfolded) {
  MemoryServer<Http2Session> server(&service_.router);
  server.feed("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, ""));
  const std::string first = cat(std::string("\x40\x01x\x7f\xa1\x1e", 6), std::string(4000, 'b'));
  for (uint32_t stream = 1; stream < 40; stream += 2) {
    std::string bytes = frame(1, 1, stream, first + std::string(12000, '\xbe'));
    for (int i = 0; i < 70; ++i) {
      bytes += frame(9, i == 69 ? 4 : 0, stream, std::string(16384, '\xbe'));
    }
    server.feed(bytes);  // 4.6 GB, unfolded
    EXPECT_NE(server.take().find(frame(3, 0, stream, big32(NGHTTP2_FRAME_SIZE_ERROR))),
              std::string::npos);
  }
  EXPECT_FALSE(server.finished());
  EXPECT_EQ(server.session().streams(), 0u);
}

TEST_F(Http2HeadTest, ASecondHeadIsNotTrailers) {
  MemoryServer<Http2Session> server(&service_.router);
  const std::string block =
      cat(std::string("\x83\x86", 2), std::string("\x04\x11/test.Echo/Stream"),
          std::string("\x0f\x10\x10") + "application/grpc");
  server.feed("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, "") + frame(1, 4, 1, block));
  EXPECT_EQ(server.session().streams(), 1u);
  server.feed(frame(1, 4, 1, block));
  EXPECT_EQ(server.session().streams(), 0u);
  EXPECT_FALSE(server.finished());
}

// The client's library would write it small.
TEST_F(Http2HeadTest, ANameInCapitalsIsReset) {
  MemoryServer<Http2Session> server(&service_.router);
  const std::string block = cat(std::string("\x83\x86\x84\0\1X\1y", 8));
  server.feed("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, "") + frame(1, 5, 1, block));
  EXPECT_NE(server.take().find(frame(3, 0, 1, big32(NGHTTP2_PROTOCOL_ERROR))), std::string::npos);
  EXPECT_FALSE(server.finished());
}

class Times final : public CallObserver {
 public:
  void call_started(const ServerCall&) override { ++started; }
  void message_received(const ServerCall&, const Bytes&) override {}
  void message_sent(const ServerCall&, const MessageParts&) override {}
  void call_finished(const ServerCall&, const CallSummary& s) override {
    elapsed.push_back(std::chrono::duration_cast<milliseconds>(s.elapsed));
  }
  int started = 0;
  std::vector<milliseconds> elapsed;
};

TEST_F(Http2HeadTest, AUnaryCallCountsFromItsMessage) {
  Times times;
  MemoryServer<Http2Session> server(&service_.router, {}, &times);
  Client client(&server);
  int32_t slow = client.send(request(kUnary), "", true);
  int32_t never = client.send(request(kUnary), "", true);
  int32_t stream = client.send(request("/test.Echo/Stream"), "", true);
  client.exchange();
  EXPECT_EQ(times.started, 1);  // the stream
  server.advance(seconds(5));
  client.add(slow, framed("x"), true);
  client.exchange();
  EXPECT_EQ(times.started, 2);
  client.reset(never);
  client.reset(stream);
  client.exchange();
  EXPECT_EQ(times.elapsed, (std::vector<milliseconds>{milliseconds(0), milliseconds(5000)}));
}

}  // namespace
}  // namespace keelson::net
