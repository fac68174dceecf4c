// Where a request ends and for whom it is: what Go's server behind etcd answers to each of these,
// but where a case says that we are stricter.

#include "net/http1_framing.h"

#include <gtest/gtest.h>

#include "base/text.h"
#include "net/memory_connection.h"
#include "net/test_service.h"

namespace keelson::net {
namespace {

constexpr std::string_view kNext = "GET /next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
constexpr std::string_view kChunks = "5\r\nhello\r\n0\r\n\r\n";

class Http1FramingTest : public testing::Test {
 protected:
  // Everything that one connection answers to the request and another one right behind it.
  std::string answers(std::string_view request) {
    TestService service;
    MemoryServer<Http1Session> server(&service.router);
    server.feed(cat(request, kNext));
    server.settle();
    return server.take();
  }
  // The first status, and whether the next request was answered, too.
  std::string outcome(std::string_view request) {
    const std::string all = answers(request);
    const bool next = all.find("GET /next") != std::string::npos;
    return cat(all.substr(9, 3), next ? " next" : "");
  }
  std::string with(std::string_view fields, std::string_view body = "") {
    return outcome(cat("POST /a HTTP/1.1\r\nHost: x\r\n", fields, "\r\n", body));
  }
};

TEST_F(Http1FramingTest, OneCodingAndThatChunked) {
  for (std::string_view value : {"chunked", "Chunked", "  chunked  "}) {
    EXPECT_EQ(with(cat("Transfer-Encoding: ", value, "\r\n"), kChunks), "200 next") << value;
  }
  for (std::string_view value : {"xchunked", "gzip, chunked", "chunked, gzip", "identity", "",
                                 "chunked, chunked", "\"chunked\"", "chunked;q=1"}) {
    EXPECT_EQ(with(cat("Transfer-Encoding: ", value, "\r\n"), kChunks), "501") << value;
  }
  EXPECT_EQ(with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", kChunks), "501");
  EXPECT_EQ(with("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", kChunks), "501");
  EXPECT_TRUE(answers("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n")
                  .ends_with("\r\n\r\nUnsupported transfer encoding"));
  // Stricter: Go goes by the coding.
  EXPECT_EQ(with("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", kChunks), "400");
  EXPECT_EQ(with("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", kChunks), "400");
  // It says nothing in HTTP/1.0, and nothing is believed after it.
  EXPECT_EQ(outcome(cat("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n"
                        "Transfer-Encoding: chunked\r\n\r\n",
                        kChunks)),
            "200");
}

TEST_F(Http1FramingTest, OneLength) {
  for (std::string_view value : {"5", "5 ", "05"}) {
    EXPECT_EQ(with(cat("Content-Length: ", value, "\r\n"), "hello"), "200 next") << value;
  }
  for (std::string_view value : {"5, 5", "5,6", "+5", "-5", "0x5", "5 5", "99999999999999999999"}) {
    EXPECT_EQ(with(cat("Content-Length: ", value, "\r\n"), "hello"), "400") << value;
  }
  EXPECT_EQ(with("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"), "200 next");
  EXPECT_EQ(with("Content-Length: 5\r\nContent-Length: 6\r\n", "hello"), "400");
  EXPECT_EQ(with("Content-Length : 5\r\n", "hello"), "400");
}

TEST_F(Http1FramingTest, ATargetMayBeAUrl) {
  auto line = [&](std::string_view target) {
    return answers(cat("GET ", target, " HTTP/1.1\r\nHost: y\r\n\r\n"));
  };
  EXPECT_NE(line("http://x/path?a=b").find("GET /path [a=b] "), std::string::npos);
  EXPECT_NE(line("HTTPS://u@x:80/path").find("GET /path [] "), std::string::npos);
  EXPECT_NE(line("http://x?a").find("\r\nLocation: /?a\r\n"), std::string::npos);
  for (std::string_view target : {"path", "?a", "*", "ftp://x/path", "x:80"}) {
    EXPECT_TRUE(line(target).starts_with("HTTP/1.1 400 Bad Request\r\n")) << target;
  }
  EXPECT_EQ(outcome("OPTIONS * HTTP/1.1\r\nHost: y\r\n\r\n"), "200 next");
}

TEST_F(Http1FramingTest, TheUrlsHostCounts) {
  HttpRequest request;
  request.method = "GET";
  request.target = "http://u@real:1/a?b";
  request.fields = {{"HOST", "other"}};
  EXPECT_FALSE(settle_head(&request, 11));
  EXPECT_EQ(request.target, "/a?b");
  EXPECT_EQ(request.field("host"), "real:1");
}

TEST_F(Http1FramingTest, OneHostAndAPossibleOne) {
  auto first_line = [&](std::string_view fields) {
    const std::string all = answers(cat("GET / HTTP/1.1\r\n", fields, "\r\n"));
    return all.substr(0, all.find('\r'));
  };
  EXPECT_EQ(first_line(""), "HTTP/1.1 400 Bad Request: missing required Host header");
  for (std::string_view host : {"a b", "a/b", "a\xff", "a\"", "a{"}) {
    EXPECT_EQ(first_line(cat("Host: ", host, "\r\n")),
              "HTTP/1.1 400 Bad Request: malformed Host header")
        << host;
  }
  EXPECT_EQ(first_line("Host: a\r\nHost: b\r\n"), "HTTP/1.1 400 Bad Request");
  for (std::string_view host : {"", "x", "[::1]:2379", "a_b.c", "x:1"}) {
    EXPECT_EQ(first_line(cat("Host: ", host, "\r\n")), "HTTP/1.1 200 OK") << host;
  }
}

TEST_F(Http1FramingTest, OnlyOneThingCanBeExpected) {
  EXPECT_EQ(with("Expect: nonsense\r\n"), "417");
  EXPECT_EQ(with("Expect: 100-continue\r\n"), "200 next");
}

// A handler that has no use for bodies gets none, whatever their length.
class BodyCounter final : public HttpHandler {
 public:
  void handle(HttpRequest request, HttpReplyRef reply) override {
    HttpResponse response;
    response.body = MessageParts::copy(cat("body of ", request.body.size()));
    reply->send(std::move(response));
  }
};

TEST_F(Http1FramingTest, WhatNobodyReadsIsThrownAway) {
  BodyCounter counter;
  Router router;
  router.http("/without", &counter, {.ignores_body = true});
  router.http("/with", &counter, {.max_body_bytes = json_body_limit(2 << 20)});
  MemoryServer<Http1Session> server(&router);
  const std::string body(json_body_limit(2 << 20), 'b');
  for (std::string_view path : {"/without", "/with"}) {
    server.feed(
        cat("POST ", path, " HTTP/1.1\r\nHost: x\r\nContent-Length: ", body.size(), "\r\n\r\n"));
    server.feed(body);
    server.settle();
    EXPECT_TRUE(
        server.take().ends_with(path == "/with" ? cat("body of ", body.size()) : "body of 0"));
  }
  EXPECT_GT(body.size(), (2u << 20) * 4 / 3);  // base64 of a message, and the JSON around it
}

// What is in front of a chunk, or behind the last one, is no longer than a head may be.
TEST_F(Http1FramingTest, AChunksLineAndTrailersEnd) {
  TestService service;
  ListenerOptions options;
  options.max_header_bytes = 8 << 10;
  for (std::string_view begin : {"5;", "5;a=\"", "0\r\nA: ", "0\r\n"}) {
    MemoryServer<Http1Session> server(&service.router, options);
    server.feed("POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    server.feed(begin);
    const std::string more = begin.ends_with('\n') ? "B: c\r\n" : std::string(100, 'x');
    size_t sent = 0;
    for (; sent < (64u << 10) && !server.finished(); sent += more.size()) {
      server.feed(more);
      if (std::string answer = server.take(); !answer.empty()) {
        EXPECT_TRUE(answer.starts_with("HTTP/1.1 400 Bad Request\r\n")) << answer;
      }
    }
    EXPECT_GT(sent, 7u << 10) << begin;
    EXPECT_LT(sent, 9u << 10) << begin;
  }
}

// Answers before the body is there, and goes on.
class Early final : public HttpStreamHandler {
 public:
  class Receiver final : public HttpBodyReceiver {
   public:
    explicit Receiver(Early* owner) : owner_(*owner) {}
    void on_body(Bytes) override {}
    void on_end() override {}
    void on_abort() override { ++owner_.aborted; }

   private:
    Early& owner_;
  };
  std::unique_ptr<HttpBodyReceiver> on_open(HttpRequest, HttpReplyRef reply) override {
    HttpResponse response;
    response.body = MessageParts::copy("beginning");
    reply->begin(std::move(response));
    replies.push_back(std::move(reply));
    return std::make_unique<Receiver>(this);
  }
  std::vector<HttpReplyRef> replies;
  int aborted = 0;
};

// A refusal in the middle of an answer would be read as a part of it.
TEST_F(Http1FramingTest, NothingIsRefusedInsideAnAnswer) {
  Early early;
  Router router;
  router.http_stream("/early", &early);
  MemoryServer<Http1Session> server(&router);
  server.feed("POST /early HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
  EXPECT_TRUE(server.take().ends_with("beginning\r\n"));
  server.feed("no chunk\r\n");
  server.settle();
  EXPECT_EQ(server.take(), "");
  EXPECT_TRUE(server.finished());
  server.close();
  EXPECT_EQ(early.aborted, 1);
  EXPECT_TRUE(early.replies[0]->over());
}

// What left the session, and the socket does not take, is not gone yet: who writes hears of it once
// it is, and not before.
TEST_F(Http1FramingTest, WhoWritesGoesOnWhenTheSocketHasTakenIt) {
  Early early;
  Router router;
  router.http_stream("/early", &early);
  MemoryServer<Http1Session> server(&router);
  server.feed("POST /early HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
  server.take();
  HttpReply& reply = *early.replies[0];
  int writable = 0;
  reply.on_writable([&] {
    EXPECT_LT(reply.pending_bytes(), 64u << 10);
    ++writable;
  });
  for (int round = 1; round <= 3; ++round) {
    server.fills_up = true;
    reply.write(MessageParts::copy(std::string(200'000, 'x')));
    server.settle();
    EXPECT_EQ(writable, round - 1);
    server.fills_up = server.socket_full = false;
    EXPECT_GT(server.take().size(), 200'000u);
    server.settle();
    EXPECT_EQ(writable, round);
  }
}

// Requests are taken as their answers are; all are answered in the end.
TEST(Http1Pipelining, WhoDoesNotReadIsNotReadFrom) {
  TestService service;
  MemoryServer<Http1Session> server(&service.router);
  constexpr std::string_view kRequest = "GET /none HTTP/1.1\r\nHost: x\r\n\r\n";
  constexpr size_t kBurst = 2000;
  std::string burst;
  for (size_t i = 0; i < kBurst; ++i) burst += kRequest;
  std::string got;
  auto answers = [&] {
    size_t count = 0;
    for (size_t at = 0; (at = got.find("HTTP/1.1 200 OK", at)) != std::string::npos; ++at) ++count;
    return count;
  };
  ASSERT_TRUE(server.feed(burst));
  for (int i = 0; i < 20; ++i) server.settle();
  got = server.take();
  ASSERT_EQ(answers(), kBurst);
  got.clear();
  server.socket_full = true;
  server.feed(burst);
  EXPECT_TRUE(server.session().input_full());
  server.advance(std::chrono::minutes(10));  // and not put out for it
  EXPECT_FALSE(server.finished());
  server.socket_full = false;
  server.settle();
  got = server.take();
  EXPECT_LT(answers(), 1000u);
  for (int i = 0; i < 20; ++i) server.settle();
  got += server.take();
  EXPECT_EQ(answers(), kBurst);
  EXPECT_FALSE(server.session().input_full());
}

}  // namespace
}  // namespace keelson::net
