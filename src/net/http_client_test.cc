// HttpClient against servers that behave, and against servers that do not.

#include "net/http_client.h"

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <future>
#include <optional>
#include <thread>
#include <vector>

#include "net/test_http_client.h"

namespace keelson::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

HttpClientRequest to(const ScriptedServer& server, const std::string& method = "GET") {
  HttpClientRequest request;
  request.place = server.place();
  request.method = method;
  return request;
}

class HttpClientTest : public testing::Test {
 protected:
  // What a request comes to when the server answers `text` and closes.
  std::string outcome(std::string_view text) {
    Asked asked = client_.get(server_.place());
    ScriptedConnection connection = server_.accept();
    connection.head();
    connection.send(text);
    connection.half_close();
    return asked.result();
  }

  ScriptedServer server_;
  TestHttpClient client_;
};

// ---- places

TEST(HttpPlaceTest, Urls) {
  const auto parsed = [](std::string_view url) -> std::string {
    absl::StatusOr<HttpPlace> place = HttpPlace::parse(url);
    if (!place.ok()) return std::string(place.status().message());
    return cat(place->tls ? "tls " : "", place->host, " ", place->port, " ", place->authority());
  };
  EXPECT_EQ(parsed("http://a:1"), "a 1 a:1");
  EXPECT_EQ(parsed("http://a/"), "a 80 a:80");
  EXPECT_EQ(parsed("https://a"), "tls a 443 a:443");
  EXPECT_EQ(parsed("https://[::1]:2380"), "tls ::1 2380 [::1]:2380");
  EXPECT_EQ(parsed("http://[::1]"), "::1 80 [::1]:80");
  EXPECT_EQ(parsed("unix:///a/b:1"), "/a/b:1  localhost");
  EXPECT_EQ(parsed("unixs://a"), "tls a  localhost");
  for (const char* url : {"", "a:1", "ftp://a:1", "http://", "http://:1", "http://a:", "http://a:x",
                          "http://a:65536", "http://a:1/b", "http://u@a:1", "http://[::1",
                          "http://[::1]1", "http://[]:1", "unix://", "http://a b:1"}) {
    EXPECT_TRUE(parsed(url).starts_with("bad URL ")) << url;
  }
}

// ---- an answer

TEST_F(HttpClientTest, OneConnectionForOneRequestAfterTheOther) {
  std::optional<ScriptedConnection> connection;
  for (const char* body : {"one", "two"}) {
    Asked asked = client_.get(server_.place());
    if (!connection) connection.emplace(server_.accept());
    EXPECT_EQ(connection->head(), cat("GET / HTTP/1.1\r\nHost: ", server_.place().authority(),
                                      "\r\nUser-Agent: keelson\r\n\r\n"));
    connection->answer(body);
    EXPECT_EQ(asked.result(), cat("200 ", body));
    EXPECT_EQ(client_.connections(), 1u);
  }
}

TEST_F(HttpClientTest, BodiesAndTheirLengths) {
  HttpClientRequest request = to(server_, "POST");
  request.body = MessageParts::copy("abc");
  request.fields = {{"A", "b"}, {"host", "other"}};
  Asked asked = client_.ask(std::move(request));
  ScriptedConnection connection = server_.accept();
  EXPECT_EQ(connection.read_until("abc"),
            "POST / HTTP/1.1\r\nUser-Agent: keelson\r\nA: b\r\nhost: other\r\n"
            "Content-Length: 3\r\n\r\nabc");
  connection.answer("");
  EXPECT_EQ(asked.result(), "200 ");
  asked = client_.ask(to(server_, "POST"));
  EXPECT_TRUE(connection.head().ends_with("\r\nContent-Length: 0\r\n\r\n"));
  connection.answer("");
  EXPECT_EQ(asked.result(), "200 ");
  asked = client_.ask(to(server_, "HEAD"));
  connection.head();
  connection.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
  EXPECT_EQ(asked.result(), "200 ");
  request = to(server_, "PUT");
  request.streamed = true;
  asked = client_.ask(std::move(request));
  EXPECT_TRUE(connection.head().ends_with("\r\nTransfer-Encoding: chunked\r\n\r\n"));
  client_.on_loop([&] {
    asked.exchange->write(MessageParts::copy("0123456789abcdef"));
    asked.exchange->end_body();
  });
  EXPECT_EQ(connection.read_until("0\r\n\r\n"), "10\r\n0123456789abcdef\r\n0\r\n\r\n");
  connection.answer("!");
  EXPECT_EQ(asked.result(), "200 !");
}

TEST_F(HttpClientTest, ABodyOfAnnouncedLengthHasIt) {
  for (const char* body : {"12", "1234"}) {
    HttpClientRequest request = to(server_, "POST");
    request.streamed = true;
    request.length = 3;
    Asked asked = client_.ask(std::move(request));
    client_.on_loop([&] {
      asked.exchange->write(MessageParts::copy(body));
      asked.exchange->end_body();
    });
    EXPECT_EQ(asked.result(), cat("INVALID_ARGUMENT: the body is ", body[2] ? "longer" : "shorter",
                                  " than it was said to be"));
  }
}

TEST_F(HttpClientTest, RequestsThatWouldForgeOthersAreNotSent) {
  std::vector<HttpClientRequest> bad(8, to(server_));
  bad[0].method = "GET / HTTP/1.1\r\nA";
  bad[1].method = "";
  bad[2].target = "/a b";
  bad[3].target = "";
  bad[4].fields = {{"A", "b\r\nC: d"}};
  bad[5].fields = {{"A:", "b"}};
  bad[6].fields = {{"content-length", "1"}};
  bad[7].fields = {{"Connection", "close"}};
  for (HttpClientRequest& request : bad) {
    EXPECT_TRUE(client_.ask(std::move(request))
                    .result()
                    .starts_with("INVALID_ARGUMENT: invalid HTTP request: "));
  }
  EXPECT_EQ(client_.connections(), 0u);
}

TEST_F(HttpClientTest, FetchGathersAndHasALimit) {
  for (size_t limit : {5, 4}) {
    std::promise<std::string> result;
    client_.on_loop([&] {
      client_.client().fetch(to(server_), limit, [&](absl::StatusOr<HttpClient::Answer> answer) {
        result.set_value(answer.ok() ? answer->body : std::string(answer.status().message()));
      });
    });
    ScriptedConnection connection = server_.accept();
    connection.head();
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
    EXPECT_EQ(result.get_future().get(), limit == 5 ? "hello" : "the answer is too long");
  }
}

// ---- servers that misbehave

TEST_F(HttpClientTest, Garbage) {
  EXPECT_EQ(outcome(""), "UNAVAILABLE: EOF");
  EXPECT_EQ(outcome("HTTP/1.1 200 OK\r\nConte"), "UNAVAILABLE: unexpected EOF");
  EXPECT_EQ(outcome("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"),
            "UNAVAILABLE: unexpected EOF");
  EXPECT_EQ(outcome("HTTP/1.0 200 OK\r\n\r\nhello"), "200 hello");
  EXPECT_EQ(outcome("SSH-2.0-x\r\n\r\n"), "UNAVAILABLE: malformed HTTP response: bad version");
  EXPECT_EQ(client_.connections(), 0u);
}

// The connection is cut as soon as the answer is longer than it may be, not when it ends.
TEST_F(HttpClientTest, AnswersWithoutEnd) {
  const std::string chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const std::string& begin :
       {std::string("HTTP/1.1 200 "), std::string("HTTP/1.1 200 OK\r\nA: "), chunked + "5;",
        chunked + "0\r\nA: "}) {
    Asked asked = client_.get(server_.place());
    ScriptedConnection connection = server_.accept();
    connection.head();
    connection.send(begin);
    const std::string more(10000, 'x');
    while (connection.send(more)) {
    }
    EXPECT_TRUE(asked.result().starts_with("UNAVAILABLE: malformed HTTP response: ")) << begin;
  }
}

TEST_F(HttpClientTest, OneByteAtATime) {
  Asked asked = client_.get(server_.place());
  ScriptedConnection connection = server_.accept();
  connection.head();
  for (char c : std::string("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                            "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")) {
    connection.send({&c, 1});
  }
  EXPECT_EQ(asked.result(), "200 abcde");
  EXPECT_EQ(client_.connections(), 1u);
}

// What nobody asked for might be taken for the answer to the next request.
TEST_F(HttpClientTest, WhatComesUnaskedEndsTheConnection) {
  Asked asked = client_.get(server_.place());
  ScriptedConnection first = server_.accept();
  first.head();
  first.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200 OK\r\n");
  EXPECT_EQ(asked.result(), "200 a");
  EXPECT_EQ(first.read_all(), 0u);
  asked = client_.get(server_.place());
  ScriptedConnection second = server_.accept();
  second.head();
  second.answer("b");
  EXPECT_EQ(asked.result(), "200 b");
  second.send("HTTP/1.1 408 Request Timeout\r\n\r\n");
  EXPECT_EQ(second.read_all(), 0u);
  EXPECT_EQ(client_.connections(), 0u);
}

TEST_F(HttpClientTest, AKeptConnectionThatCloses) {
  Asked asked = client_.get(server_.place());
  ScriptedConnection first = server_.accept();
  first.head();
  first.answer("a");
  EXPECT_EQ(asked.result(), "200 a");
  // It closes while the next request is on its way: harmless ones go again, once …
  asked = client_.get(server_.place());
  EXPECT_NE(first.head(), "");
  first.close();
  ScriptedConnection second = server_.accept();
  EXPECT_NE(second.head(), "");
  second.answer("b");
  EXPECT_EQ(asked.result(), "200 b");
  // … and others may have been done, so they fail.
  asked = client_.ask(to(server_, "POST"));
  EXPECT_NE(second.head(), "");
  second.close();
  EXPECT_EQ(asked.result(), "UNAVAILABLE: EOF");
}

TEST_F(HttpClientTest, AnAnswerThatBreaksOffIsNotAskedForAgain) {
  Asked asked = client_.get(server_.place());
  ScriptedConnection connection = server_.accept();
  connection.head();
  connection.answer("a");
  EXPECT_EQ(asked.result(), "200 a");
  asked = client_.get(server_.place());
  connection.head();
  connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nb");
  EXPECT_TRUE(asked.outcome->wait_for_body(1));
  connection.reset();
  EXPECT_EQ(asked.result(), "UNAVAILABLE: connection reset by peer");
}

// A server may refuse a body in the middle: its answer counts, the connection does not go on.
TEST_F(HttpClientTest, AnAnswerBeforeTheRequestIsComplete) {
  for (const bool leaves : {false, true}) {
    HttpClientRequest request = to(server_, "POST");
    request.body = MessageParts::copy(std::string(32 << 20, 'b'));
    Asked asked = client_.ask(std::move(request));
    ScriptedConnection connection = server_.accept();
    connection.head();
    connection.send("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!");
    // With bytes of the request unread that is a reset, and the client may see it while it writes.
    if (leaves) connection.close();
    EXPECT_EQ(asked.result(), "413 no!");
    if (!leaves) {
      EXPECT_LT(connection.read_all(), 32u << 20);
    }
    EXPECT_EQ(client_.connections(), 0u);
  }
}

// Its last words are heard even when the client learns from a write that it has gone.
TEST_F(HttpClientTest, AnAnswerThatAResetFollows) {
  HttpClientRequest request = to(server_, "POST");
  request.streamed = true;
  Asked asked = client_.ask(std::move(request));
  client_.on_loop([&] { asked.exchange->write(MessageParts::copy("unread")); });
  ScriptedConnection connection = server_.accept();
  connection.head();
  client_.on_loop([&] {
    // The write goes out before the loop looks at its sockets again.
    connection.send("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!");
    connection.reset();
    asked.exchange->write(MessageParts::copy("more"));
  });
  EXPECT_EQ(asked.result(), "413 no!");
}

TEST_F(HttpClientTest, NobodyListens) {
  const HttpPlace place = server_.place();
  server_.close();
  EXPECT_EQ(client_.get(place).result(),
            cat("UNAVAILABLE: dial tcp ", place.authority(), ": connect: connection refused"));
  EXPECT_EQ(client_.get({.host = "/nowhere/at/all"}).result(),
            "UNAVAILABLE: dial unix /nowhere/at/all: connect: no such file or directory");
  EXPECT_TRUE(client_.get({.host = "/" + std::string(200, 'x')})
                  .result()
                  .starts_with("INVALID_ARGUMENT: dial unix"));
  EXPECT_EQ(client_.get({.host = "does-not-exist.invalid", .port = "1"}).result().substr(0, 53),
            "UNAVAILABLE: dial tcp: lookup does-not-exist.invalid:");
  EXPECT_EQ(client_.get({.host = "127.0.0.1", .port = "1", .tls = true}).result(),
            "FAILED_PRECONDITION: this client has no TLS");
}

TEST(IpAddressTest, WhatIsOneAndWhatIsNot) {
  const auto read = [](std::string_view text) -> std::string {
    const std::optional<Address> address = ip_address(text);
    if (!address) return "none";
    return cat(address->text(), address->is_loopback() ? " loopback" : "",
               address->is_unspecified() ? " unspecified" : "");
  };
  EXPECT_EQ(read("10.1.2.3"), "10.1.2.3:0");
  EXPECT_EQ(read("127.3.2.1"), "127.3.2.1:0 loopback");
  EXPECT_EQ(read("0.0.0.0"), "0.0.0.0:0 unspecified");
  EXPECT_EQ(read("2001:db8::1"), "[2001:db8::1]:0");
  EXPECT_EQ(read("::1"), "[::1]:0 loopback");
  EXPECT_EQ(read("::"), "[::]:0 unspecified");
  EXPECT_EQ(read("::ffff:127.0.0.1"), "127.0.0.1:0 loopback");
  EXPECT_EQ(read("fe80::1%lo"), "[fe80::1]:0");
  for (const char* text :
       {"", "localhost", "127.1", "1.2.3.256", "fe80::1%no-such", "[::1]", ":"}) {
    EXPECT_EQ(read(text), "none") << text;
  }
}

TEST(HttpClientFromTest, ConnectionsComeFromWhereTheyAreToComeFrom) {
  ScriptedServer server;
  for (const char* from : {"127.0.0.9", "127.0.0.1"}) {
    TestHttpClient client({.from = ip_address(from)});
    Asked asked = client.get(server.place());
    std::string came_from;
    ScriptedConnection connection = server.accept(&came_from);
    connection.head();
    connection.answer("");
    EXPECT_EQ(asked.result(), "200 ");
    EXPECT_EQ(came_from, from);
  }
}

// In Go's words, with both ends.
TEST(HttpClientFromTest, WhatCannotBeReachedFromThere) {
  const std::string place = [] { return ScriptedServer().place().authority(); }();
  const auto outcome = [&](const char* from) {
    TestHttpClient client({.from = ip_address(from)});
    return client.get(*HttpPlace::parse(cat("http://", place))).result();
  };
  EXPECT_EQ(outcome("127.0.0.9"),
            cat("UNAVAILABLE: dial tcp 127.0.0.9:0->", place, ": connect: connection refused"));
  // No address of any machine (RFC 5737).
  EXPECT_EQ(outcome("192.0.2.1"), cat("UNAVAILABLE: dial tcp 192.0.2.1:0->", place,
                                      ": bind: cannot assign requested address"));
  EXPECT_EQ(outcome("2001:db8::1"),
            "UNAVAILABLE: dial tcp: address [2001:db8::1]:0: no suitable address found");
}

TEST_F(HttpClientTest, NamesAreFound) {
  HttpPlace place = server_.place();
  place.host = "localhost";  // perhaps ::1 first, where nobody listens
  Asked asked = client_.get(place);
  ScriptedConnection connection = server_.accept();
  connection.head();
  connection.answer("found");
  EXPECT_EQ(asked.result(), "200 found");
}

TEST_F(HttpClientTest, UnixSockets) {
  const std::string path = cat(testing::TempDir(), "keelson_client_", getpid());
  {
    ScriptedServer server(path);
    Asked asked = client_.get(server.place());
    ScriptedConnection connection = server.accept();
    EXPECT_NE(connection.head().find("\r\nHost: localhost\r\n"), std::string::npos);
    connection.answer("unix");
    EXPECT_EQ(asked.result(), "200 unix");
  }
  ::unlink(path.c_str());
}

// ---- long bodies

TEST_F(HttpClientTest, AnAnswerGoesAtItsReceiversPace) {
  constexpr size_t kSize = 48 << 20;
  Asked asked = client_.get(server_.place());
  ScriptedConnection connection = server_.accept();
  connection.head();
  client_.on_loop([&] { asked.exchange->pause(); });
  std::atomic<size_t> sent{0};
  std::thread sender([&] {
    connection.send(cat("HTTP/1.1 200 OK\r\nContent-Length: ", kSize, "\r\n\r\n"));
    const std::string piece(64 << 10, 'b');
    while (sent < kSize && connection.send(piece)) sent += piece.size();
  });
  // Paused, nothing arrives; and then it does, though it is paused after each megabyte.
  for (size_t got = 0; got < kSize; got = asked.outcome->body_size()) {
    client_.on_loop([&] { asked.exchange->resume(); });
    asked.outcome->wait_for_body(std::min(kSize, got + (1 << 20)));
    client_.on_loop([&] { asked.exchange->pause(); });
    // What lies between are the sockets' buffers.
    EXPECT_LT(sent, asked.outcome->body_size() + (16 << 20));
  }
  client_.on_loop([&] { asked.exchange->resume(); });
  sender.join();
  EXPECT_EQ(asked.result().size(), kSize + 4);
  EXPECT_EQ(client_.connections(), 1u);
}

TEST_F(HttpClientTest, ARequestGoesAtItsServersPace) {
  constexpr size_t kSize = 48 << 20;
  HttpClientRequest request = to(server_, "POST");
  request.streamed = true;
  request.length = kSize;
  Asked asked = client_.ask(std::move(request));
  ScriptedConnection connection = server_.accept();
  size_t written = 0, most = 0;
  // On the loop: writes as long as little is pending, and goes on when it is told to.
  std::function<void()> write = [&] {
    while (written < kSize && asked.exchange->pending_bytes() < (256u << 10)) {
      asked.exchange->write(MessageParts::copy(std::string(64 << 10, 'b')));
      written += 64 << 10;
      most = std::max(most, asked.exchange->pending_bytes());
    }
    if (written == kSize) asked.exchange->end_body();
  };
  client_.on_loop([&] {
    asked.exchange->on_writable([&] { write(); });
    write();
  });
  connection.head();
  EXPECT_EQ(connection.skip(kSize), kSize);
  connection.answer("got it");
  EXPECT_EQ(asked.result(), "200 got it");
  client_.on_loop([&] {
    EXPECT_EQ(written, kSize);
    EXPECT_LT(most, 512u << 10);
  });
  EXPECT_EQ(client_.connections(), 1u);
}

// ---- pools

TEST(HttpClientPoolTest, SoManyConnectionsAndSoManyWait) {
  ScriptedServer server;
  HttpClientOptions options;
  options.max_connections = 2;
  options.max_waiting = 3;
  TestHttpClient client(options);
  // Two that are served …
  Asked a = client.get(server.place()), b = client.get(server.place());
  ScriptedConnection first = server.accept(), second = server.accept();
  first.head();
  second.head();
  // … three that wait, and one too many.
  Asked waiting[] = {client.get(server.place()), client.get(server.place()),
                     client.get(server.place())};
  EXPECT_EQ(client.get(server.place()).result(),
            cat("RESOURCE_EXHAUSTED: too many requests wait for a connection to ",
                server.place().authority()));
  EXPECT_EQ(client.connections(), 2u);
  client.on_loop([&] { waiting[1].exchange->cancel(); });
  first.answer("1");
  second.answer("2");
  for (ScriptedConnection* connection : {&first, &second}) {
    connection->head();
    connection->answer("w");
  }
  EXPECT_EQ(waiting[0].result(), "200 w");
  EXPECT_EQ(waiting[2].result(), "200 w");
  EXPECT_FALSE(waiting[1].outcome->over());
  EXPECT_TRUE(a.result() == "200 1" || a.result() == "200 2");
  EXPECT_EQ(client.connections(), 2u);
  // A connection that breaks makes room for another.
  Asked c = client.get(server.place()), d = client.get(server.place()),
        e = client.get(server.place());
  first.head();
  second.head();
  first.close();
  second.close();
  // All are harmless and go again as often as it takes.
  ScriptedConnection third = server.accept(), fourth = server.accept();
  for (ScriptedConnection* connection : {&third, &fourth}) {
    connection->head();
    connection->answer("n");
  }
  third.close();
  fourth.close();
  ScriptedConnection fifth = server.accept();
  fifth.head();
  fifth.answer("n");
  for (const Asked& asked : {c, d, e}) EXPECT_EQ(asked.result(), "200 n");
}

TEST(HttpClientPoolTest, AFailureIsOneRequestsOwn) {
  ScriptedServer server;
  const HttpPlace place = server.place();
  server.close();
  HttpClientOptions options;
  options.max_connections = 1;
  TestHttpClient client(options);
  Asked asked[] = {client.get(place), client.get(place), client.get(place)};
  for (const Asked& one : asked) {
    EXPECT_TRUE(one.result().ends_with("connect: connection refused"));
  }
  EXPECT_EQ(client.connections(), 0u);
}

TEST_F(HttpClientTest, CancelledAtAnyTime) {
  auto unheard = std::make_shared<Outcome>();
  client_.on_loop([&] {
    client_.client().start(to(server_), std::make_unique<OutcomeReceiver>(unheard))->cancel();
  });
  ScriptedConnection connection = server_.accept();  // made for it, and kept
  Asked asked = client_.get(server_.place());
  connection.head();
  connection.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
  EXPECT_TRUE(asked.outcome->wait_for_body(3));
  client_.on_loop([&] {
    asked.exchange->cancel();
    EXPECT_TRUE(asked.exchange->over());
    asked.exchange->cancel();
    asked.exchange->write(MessageParts::copy("x"));
  });
  EXPECT_EQ(connection.read_all(), 0u);
  EXPECT_FALSE(asked.outcome->over());
  EXPECT_FALSE(unheard->over());
  EXPECT_EQ(client_.connections(), 0u);
}

TEST_F(HttpClientTest, TheClientsEndIsHeardByNobody) {
  Asked served = client_.get(server_.place());
  ScriptedConnection connection = server_.accept();
  connection.head();
  Asked waiting = client_.get({.host = "127.0.0.1", .port = "1"});
  client_.stop();
  EXPECT_EQ(connection.read_all(), 0u);
  EXPECT_FALSE(served.outcome->over());
  EXPECT_TRUE(served.exchange->over());
}

// ---- deadlines, over sockets (client_exchange_test.cc has a clock of its own)

TEST_F(HttpClientTest, AServerThatSaysNothing) {
  EXPECT_EQ(client_.get(server_.place(), {.head = milliseconds(20)}).result(),
            "DEADLINE_EXCEEDED: timeout awaiting response headers");
  EXPECT_EQ(client_.connections(), 0u);
  EXPECT_EQ(client_.get(server_.place(), {.whole = milliseconds(20)}).result(),
            "DEADLINE_EXCEEDED: context deadline exceeded");
  ScriptedServer deaf;
  HttpClientRequest request = to(deaf, "POST");
  request.body = MessageParts::copy(std::string(32 << 20, 'b'));
  request.deadlines.stall = milliseconds(20);
  EXPECT_EQ(client_.ask(std::move(request)).result(), "DEADLINE_EXCEEDED: i/o timeout");
}

TEST_F(HttpClientTest, AServerThatStopsInTheMiddle) {
  Asked asked = client_.get(server_.place(), {.stall = milliseconds(20)});
  ScriptedConnection connection = server_.accept();
  connection.head();
  connection.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
  EXPECT_EQ(asked.result(), "DEADLINE_EXCEEDED: i/o timeout");
  EXPECT_EQ(client_.connections(), 0u);
}

// A listener whose queue is full leaves who wants in without a word.
TEST(HttpClientDeadlineTest, Connecting) {
  ScriptedServer server("", /*backlog=*/0);
  TestHttpClient filling;
  Asked queued[] = {filling.get(server.place()), filling.get(server.place()),
                    filling.get(server.place())};
  filling.on_loop([] {});  // now all of them have called
  HttpClientOptions options;
  options.connect_timeout = milliseconds(50);
  options.max_connections = 1;
  TestHttpClient client(options);
  Asked first = client.get(server.place()), second = client.get(server.place());
  for (const Asked& asked : {first, second}) {
    EXPECT_EQ(asked.result(),
              cat("DEADLINE_EXCEEDED: dial tcp ", server.place().authority(), ": i/o timeout"));
  }
  EXPECT_EQ(client.connections(), 0u);
  for (const Asked& asked : queued) EXPECT_FALSE(asked.outcome->over());
}

TEST(HttpClientDeadlineTest, WaitingForAConnection) {
  ScriptedServer server;
  HttpClientOptions options;
  options.max_connections = 1;
  options.queue_timeout = milliseconds(500);  // connecting is in it
  options.idle_timeout = milliseconds(20);
  TestHttpClient client(options);
  Asked served = client.get(server.place());
  ScriptedConnection connection = server.accept();
  connection.head();
  EXPECT_EQ(client.get(server.place()).result(),
            "DEADLINE_EXCEEDED: timeout awaiting a connection");
  connection.answer("a");
  EXPECT_EQ(served.result(), "200 a");
  EXPECT_EQ(connection.read_all(), 0u);  // not kept for longer than it may be idle
  EXPECT_EQ(client.connections(), 0u);
}

}  // namespace
}  // namespace keelson::net
