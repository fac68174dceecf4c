// Plain HTTP over HTTP/2: what the same handlers answer over HTTP/1.

#include <gtest/gtest.h>

#include "base/text.h"
#include "net/test_client.h"
#include "net/test_service.h"

namespace keelson::net {
namespace {

using test::Answer;
using test::Client;
using test::Headers;

Headers plain(std::string_view method, std::string_view path, Headers extra = {}) {
  Headers headers = {{":method", std::string(method)},
                     {":scheme", "http"},
                     {":path", std::string(path)},
                     {":authority", "test"}};
  headers.insert(headers.end(), extra.begin(), extra.end());
  return headers;
}

// Answers in a way of its own, or keeps the reply.
class Scripted final : public HttpHandler, public HttpStreamHandler {
 public:
  void handle(HttpRequest request, HttpReplyRef reply) override {
    seen = cat(request.method, " ", request.path(), " ", request.field("HOST"), " ",
               request.field("X-Some"), " ", request.body.size());
    if (request.path() == "/drop") return;
    if (request.path() == "/empty") {
      HttpResponse response;
      response.status = 204;
      return reply->send(std::move(response));
    }
    if (request.path() == "/cut") {
      reply->begin({});
      reply->write(MessageParts::copy("half"));
      return reply->abort();
    }
    kept = std::move(reply);
  }
  std::unique_ptr<HttpBodyReceiver> on_open(HttpRequest, HttpReplyRef reply) override {
    kept = std::move(reply);
    return std::make_unique<Receiver>(this);
  }
  std::string seen;
  HttpReplyRef kept;

 private:
  class Receiver final : public HttpBodyReceiver {
   public:
    explicit Receiver(Scripted* owner) : owner_(*owner) {}
    void on_body(Bytes piece) override { owner_.seen += piece.str(); }
    void on_end() override { owner_.seen += "."; }
    void on_abort() override { owner_.seen += "!"; }

   private:
    Scripted& owner_;
  };
};

class Http2ExchangeTest : public testing::Test {
 protected:
  Http2ExchangeTest() {
    router_.http_prefix("/", static_cast<HttpHandler*>(&scripted_), {.max_body_bytes = 1000});
    router_.http_stream("/stream", &scripted_);
    router_.http("/without", static_cast<HttpHandler*>(&scripted_), {.ignores_body = true});
    server_ = std::make_unique<MemoryServer<Http2Session>>(&router_);
    client_ = std::make_unique<Client>(server_.get());
  }
  ~Http2ExchangeTest() override {
    scripted_.kept.reset();
    server_->close();
  }
  Answer& ask(const Headers& headers, std::string body = "", bool open = false) {
    last_ = client_->send(headers, std::move(body), open);
    client_->exchange();
    return (*client_)[last_];
  }
  Scripted scripted_;
  Router router_;
  std::unique_ptr<MemoryServer<Http2Session>> server_;
  std::unique_ptr<Client> client_;
  int32_t last_ = 0;
};

TEST(Http2Plain, TheSameAnswersAsOverHttp1) {
  TestService service;
  MemoryServer<Http2Session> server(&service.router);
  Client client(&server);
  auto ask = [&](const Headers& headers, std::string body) -> Answer& {
    int32_t id = client.send(headers, std::move(body));
    client.exchange();
    return client[id];
  };
  Answer& get = ask(plain("GET", "/a?b=c"), "");
  EXPECT_EQ(get.headers[":status"], "200");
  EXPECT_EQ(get.data, "GET /a [b=c] ");
  EXPECT_EQ(get.headers["content-length"], cat(get.data.size()));
  EXPECT_EQ(get.headers.count("date"), 1u);
  EXPECT_TRUE(get.closed);
  EXPECT_EQ(get.error, 0u);
  EXPECT_EQ(ask(plain("POST", "/d"), "hello").data, "POST /d [] hello");
  EXPECT_EQ(ask(plain("GET", "/parts"), "").data, "one two three");
  Answer& head = ask(plain("HEAD", "/f"), "");
  EXPECT_EQ(head.headers["content-length"], "11");
  EXPECT_EQ(head.data, "");
  EXPECT_TRUE(head.closed);
  EXPECT_EQ(ask(plain("POST", "/d"), std::string(1001, 'b')).headers[":status"], "413");
  EXPECT_EQ(server.session().streams(), 0u);
}

TEST_F(Http2ExchangeTest, WhatTheHandlerSees) {
  ask(plain("PUT", "/x", {{"x-some", "thing"}, {"content-type", "text/plain"}}), "12345");
  EXPECT_EQ(scripted_.seen, "PUT /x test thing 5");
  ask(plain("PUT", "/without"), std::string(5000, 'b'));
  EXPECT_EQ(scripted_.seen, "PUT /without test  0");
}

TEST_F(Http2ExchangeTest, RefusedBeforeAHandlerSeesIt) {
  EXPECT_EQ(ask(plain("GET", "/x", {{"transfer-encoding", "chunked"}})).headers[":status"], "400");
  EXPECT_EQ(ask(plain("GET", "/x", {{"content-length", "x"}})).headers[":status"], "400");
  EXPECT_EQ(ask(plain("POST", "/x", {{"content-length", "1001"}}), "", true).headers[":status"],
            "413");
  EXPECT_TRUE((*client_)[last_].closed);  // and told to stop sending
  EXPECT_EQ(scripted_.seen, "");
}

TEST_F(Http2ExchangeTest, AnswersThatAreNone) {
  EXPECT_EQ(ask(plain("GET", "/drop")).headers[":status"], "500");
  Answer& empty = ask(plain("GET", "/empty"));
  EXPECT_EQ(empty.headers[":status"], "204");
  EXPECT_EQ(empty.headers.count("content-length"), 0u);
  EXPECT_TRUE(empty.closed);
  EXPECT_EQ(ask(plain("GET", "/cut")).error, static_cast<uint32_t>(NGHTTP2_INTERNAL_ERROR));
}

TEST_F(Http2ExchangeTest, StreamsBothWays) {
  Answer& answer = ask(plain("POST", "/stream"), "one ", true);
  scripted_.kept->begin({});
  scripted_.kept->write(MessageParts::copy("first "));
  client_->exchange();
  EXPECT_EQ(answer.data, "first ");
  client_->add(last_, "two", true);
  client_->exchange();
  EXPECT_EQ(scripted_.seen, "one two.");
  scripted_.kept->write(MessageParts::copy("second"));
  scripted_.kept->end();
  client_->exchange();
  EXPECT_EQ(answer.data, "first second");
  EXPECT_TRUE(answer.closed);
  EXPECT_TRUE(scripted_.kept->over());
}

TEST_F(Http2ExchangeTest, ABodyThatIsNotWantedYetWaits) {
  ask(plain("POST", "/stream"), "one ", true);
  scripted_.kept->set_reading(false);
  client_->add(last_, std::string(200 << 10, 'x'));
  client_->add(last_, "end", true);
  client_->exchange();
  EXPECT_EQ(scripted_.seen, "one ");
  scripted_.kept->set_reading(true);
  client_->exchange();
  client_->exchange();
  EXPECT_EQ(scripted_.seen.size(), 4 + (200u << 10) + 4);
  EXPECT_TRUE(scripted_.seen.ends_with("xend."));
  scripted_.kept->send({});
  client_->exchange();
  EXPECT_TRUE((*client_)[last_].closed);
}

TEST_F(Http2ExchangeTest, ABodyIsNoLongerThanItSays) {
  test::Headers headers = plain("POST", "/stream");
  headers.push_back({"content-length", "4"});
  ask(headers, "four", true);
  EXPECT_FALSE((*client_)[last_].closed);
  client_->add(last_, "!");
  client_->exchange();
  EXPECT_TRUE((*client_)[last_].closed);
  EXPECT_EQ((*client_)[last_].error, 1u);
}

// What waited gives back the connection's window, however it ends.
TEST_F(Http2ExchangeTest, BodiesThatWaitedHoldNoWindow) {
  ListenerOptions options;
  options.connection_window = 100'000;
  client_.reset();
  server_ = std::make_unique<MemoryServer<Http2Session>>(&router_, options);
  client_ = std::make_unique<Client>(server_.get());
  for (int i = 0; i < 30; ++i) {
    ask(plain("POST", "/stream"), "one ", true);
    scripted_.kept->set_reading(false);
    client_->add(last_, std::string(10'000, 'x'));
    client_->exchange();
    if (i % 3 == 0) {
      scripted_.kept->set_reading(true);
      client_->add(last_, "", true);
      client_->exchange();
    }
    if (i % 3 == 1) {
      client_->reset(last_);
    } else {
      scripted_.kept->send({});
    }
    client_->exchange();
    EXPECT_TRUE((*client_)[last_].closed);
  }
  client_->exchange();
  // More than half: of what is used, as much is not given back at once.
  EXPECT_GT(client_->window(), 50'000);
}

// ---- what the handler keeps of a body

TEST_F(Http2ExchangeTest, WhatIsKeptOfABodyCountsAsTheConnections) {
  ask(plain("POST", "/stream"), "one", true);
  const size_t stream = server_->incoming().bytes();  // the open stream itself, and its head
  scripted_.kept->hold(5000);
  EXPECT_EQ(server_->incoming().bytes(), stream + 5000);
  // Beside what waits to be read.
  scripted_.kept->set_reading(false);
  client_->add(last_, std::string(300, 'x'));
  client_->exchange();
  EXPECT_EQ(server_->incoming().bytes(), stream + 5300);
  scripted_.kept->hold(200);
  EXPECT_EQ(server_->incoming().bytes(), stream + 500);
  scripted_.kept->set_reading(true);
  client_->exchange();
  EXPECT_EQ(server_->incoming().bytes(), stream + 200);
  scripted_.kept->send({});
  EXPECT_EQ(server_->incoming().bytes(), stream);  // with the answer nothing is kept
  client_->add(last_, "", true);
  client_->exchange();
  EXPECT_EQ(server_->incoming().bytes(), 0u);
}

TEST_F(Http2ExchangeTest, WhatIsKeptGoesWithItsStream) {
  ask(plain("POST", "/stream"), "one", true);
  scripted_.kept->hold(5000);
  client_->reset(last_);
  client_->exchange();
  EXPECT_EQ(server_->incoming().bytes(), 0u);
  scripted_.kept->hold(7);  // to nobody
  EXPECT_EQ(server_->incoming().bytes(), 0u);
}

// The stream, and no other.
TEST(Http2Plain, WhoMakesTheMemberKeepTooMuchIsLetGo) {
  constexpr size_t kMost = 100'000;
  Scripted scripted;
  Router router;
  router.http_stream("/stream", &scripted);
  MemoryServer<Http2Session> server(&router, {.connection_incoming = kMost});
  Client client(&server);
  const int32_t first = client.send(plain("POST", "/stream"), "one", true);
  client.exchange();
  HttpReplyRef first_reply = scripted.kept;
  const int32_t second = client.send(plain("POST", "/stream"), "two", true);
  client.exchange();
  first_reply->hold(kMost / 2);
  client.exchange();
  EXPECT_FALSE(client[first].closed);
  scripted.kept->hold(kMost / 2);
  client.exchange();
  EXPECT_TRUE(client[second].closed);
  EXPECT_EQ(client[second].error, uint32_t{NGHTTP2_ENHANCE_YOUR_CALM});
  EXPECT_TRUE(scripted.kept->over());
  EXPECT_FALSE(client[first].closed);
  first_reply->send({});
  client.add(first, "", true);
  client.exchange();
  EXPECT_EQ(client[first].headers[":status"], "200");
  EXPECT_EQ(server.incoming().bytes(), 0u);
  first_reply.reset();
  scripted.kept.reset();
  server.close();
}

TEST_F(Http2ExchangeTest, WhoGoesAwayIsNoticed) {
  ask(plain("POST", "/stream"), "one", true);
  bool gone = false;
  scripted_.kept->on_gone([&] { gone = true; });
  client_->reset(last_);
  client_->exchange();
  EXPECT_TRUE(gone);
  EXPECT_EQ(scripted_.seen, "one!");
  scripted_.kept->send({});  // to nobody
}

// A client that takes little holds back only what is for it.
TEST(Http2Plain, AnAnswerIsProducedAsItIsTaken) {
  Scripted scripted;
  Router router;
  router.http("/big", static_cast<HttpHandler*>(&scripted));
  MemoryServer<Http2Session> server(&router);
  Client client(&server, 1000, /*auto_window=*/false);
  int32_t id = client.send(plain("GET", "/big"), "");
  client.exchange();
  int writable = 0;
  scripted.kept->on_writable([&] { ++writable; });
  scripted.kept->begin({});
  scripted.kept->write(MessageParts::copy(std::string(100'000, 'b')));
  client.exchange();
  EXPECT_EQ(client[id].data.size(), 1000u);
  EXPECT_EQ(scripted.kept->pending_bytes(), 99'000u);
  client.grant(id, 1000);
  for (int i = 0; i < 60; ++i, client.grant(id, 1000)) client.exchange();
  EXPECT_EQ(writable, 1);
  scripted.kept.reset();
  server.close();
}

// Takes a whole turn for each request, and has the server end at the second.
class TurnEach final : public HttpHandler {
 public:
  void handle(HttpRequest, HttpReplyRef reply) override {
    server->clock.advance(std::chrono::milliseconds(3));
    if (++served == 2) server->session().drain();
    reply->send({});
  }
  MemoryServer<Http2Session>* server = nullptr;
  int served = 0;
};

TEST_F(Http2ExchangeTest, TheEndDoesNotWaitForRequestsWhoseTurnHasNotCome) {
  TurnEach turn_each;
  turn_each.server = server_.get();
  router_.http("/turn", &turn_each);
  std::vector<int32_t> ids;
  for (int i = 0; i < 20; ++i) ids.push_back(client_->send(plain("GET", "/turn"), ""));
  client_->exchange();
  EXPECT_EQ(turn_each.served, 2);
  EXPECT_EQ((*client_)[ids[1]].headers[":status"], "200");
  EXPECT_TRUE((*client_)[ids[19]].closed);
  EXPECT_EQ((*client_)[ids[19]].error, uint32_t{NGHTTP2_REFUSED_STREAM});
  EXPECT_EQ(server_->session().streams(), 0u);
}

}  // namespace
}  // namespace keelson::net
