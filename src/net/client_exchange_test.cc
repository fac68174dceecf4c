// One exchange on a clock of the test's: how long a server may take for its part, and what may be
// done from inside a receiver.

#include "net/client_exchange.h"

#include <gtest/gtest.h>

#include "base/text.h"
#include "net/memory_connection.h"

namespace keelson::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// What a receiver does when it is called; the exchange is in `exchange`.
struct Script {
  std::function<void()> on_head, on_body;
  std::string heard;  // "200 body. OK"
};

class ScriptReceiver final : public HttpReceiver {
 public:
  explicit ScriptReceiver(Script* script) : script_(*script) {}
  void on_head(HttpResponseHead head) override {
    script_.heard += cat(head.status, " ");
    if (script_.on_head) script_.on_head();
  }
  void on_body(std::string_view piece) override {
    script_.heard += piece;
    if (script_.on_body) script_.on_body();
  }
  void on_end(absl::Status status) override {
    script_.heard += cat(". ", status.ok() ? "OK" : std::string(status.message()));
  }

 private:
  Script& script_;
};

// Carries an exchange in memory.
class ExchangeTest : public testing::Test, public ExchangeCarrier {
 protected:
  ~ExchangeTest() override {
    if (exchange_) exchange_->cancel();
    settle();
  }
  void make(HttpDeadlines deadlines, size_t body = 0) {
    HttpClientRequest request;
    request.place = {.host = "a", .port = "1"};
    request.deadlines = deadlines;
    request.method = body > 0 ? "POST" : "GET";
    if (body > 0) request.body = MessageParts::copy(std::string(body, 'b'));
    exchange_ = std::make_shared<ClientExchange>(
        &loop_, std::move(request), std::make_unique<ScriptReceiver>(&script_), options_);
  }
  void settle() {
    while (loop_.run_ready() > 0) {
    }
  }
  void advance(Duration by) {
    for (Duration done{0}; done < by; done += milliseconds(500)) {
      clock_.advance(milliseconds(500));
      settle();
    }
  }
  // The socket takes so many bytes.
  void take(size_t bytes) {
    exchange_->produce(queue_, SIZE_MAX);
    queue_.consume(std::min(bytes, queue_.size()));
    exchange_->sent();
    settle();
  }
  void go() {
    exchange_->wait_in(this, seconds(10));
    exchange_->go_out_on(this);
  }
  void hear(std::string_view bytes) {
    exchange_->receive(bytes);
    settle();
  }
  std::string heard() {
    settle();
    return script_.heard;
  }

  void exchange_ready() override {}
  size_t unsent() const override { return queue_.size(); }
  void exchange_over(ClientExchange*, bool reusable) override { reusable_ = reusable; }

  ManualClock clock_;
  Loop loop_{&clock_};
  HttpClientOptions options_;
  Script script_;
  OutQueue queue_;
  std::shared_ptr<ClientExchange> exchange_;
  bool reusable_ = false;
};

TEST_F(ExchangeTest, TheQueueHasItsTime) {
  make({});
  exchange_->wait_in(this, seconds(10));
  advance(seconds(9));
  EXPECT_EQ(heard(), "");
  advance(seconds(2));
  EXPECT_EQ(heard(), ". timeout awaiting a connection");
}

TEST_F(ExchangeTest, AHeadHasItsTimeFromTheRequestsLastByte) {
  make({.head = seconds(5)}, 1000);
  go();
  advance(seconds(20));  // the server is slow to take it, which is the affair of `stall`
  take(100);
  advance(seconds(20));
  EXPECT_EQ(heard(), "");
  take(SIZE_MAX);
  advance(seconds(4));
  hear("HTTP/1.1 200 ");
  EXPECT_EQ(heard(), "");
  advance(seconds(2));
  EXPECT_EQ(heard(), ". timeout awaiting response headers");
}

TEST_F(ExchangeTest, ABodyHasAnyTimeAsLongAsItGoesOn) {
  make({.head = seconds(5), .stall = seconds(3)});
  go();
  take(SIZE_MAX);
  hear("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
  for (int i = 0; i < 20; ++i) {
    advance(seconds(2));
    hear("b");
  }
  EXPECT_EQ(heard(), "200 " + std::string(20, 'b'));
  advance(seconds(4));
  EXPECT_EQ(heard(), "200 " + std::string(20, 'b') + ". i/o timeout");
}

TEST_F(ExchangeTest, SoHasARequest) {
  make({.stall = seconds(3)}, 1000);
  go();
  for (int i = 0; i < 20; ++i) {
    advance(seconds(2));
    take(10);
  }
  EXPECT_EQ(heard(), "");
  advance(seconds(4));
  EXPECT_EQ(heard(), ". i/o timeout");
  EXPECT_FALSE(reusable_);
}

// Who does not want to hear cannot call the other slow.
TEST_F(ExchangeTest, APauseIsNobodysFault) {
  make({.stall = seconds(3)});
  go();
  take(SIZE_MAX);
  hear("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na");
  exchange_->pause();
  advance(seconds(60));
  EXPECT_FALSE(exchange_->reads());
  EXPECT_EQ(heard(), "200 a");
  exchange_->resume();
  advance(seconds(2));
  EXPECT_EQ(heard(), "200 a");
  advance(seconds(2));
  EXPECT_EQ(heard(), "200 a. i/o timeout");
}

TEST_F(ExchangeTest, AllOfItHasItsTime) {
  make({.stall = seconds(3), .whole = seconds(30)});
  go();
  take(SIZE_MAX);
  hear("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
  for (int i = 0; i < 15 && !exchange_->over(); ++i) {
    advance(seconds(2));
    if (!exchange_->over()) hear("b");
  }
  EXPECT_EQ(heard(), "200 " + std::string(14, 'b') + ". context deadline exceeded");
}

TEST_F(ExchangeTest, WhatAPausedReceiverHasNotHeardComesLater) {
  make({});
  script_.on_head = [this] { exchange_->pause(); };
  go();
  take(SIZE_MAX);
  hear("HTTP/1.1 200 OK\r\n\r\nabc");
  exchange_->input_ended();
  EXPECT_EQ(heard(), "200 ");
  script_.on_body = [this] { exchange_->pause(); };
  exchange_->resume();
  EXPECT_EQ(heard(), "200 abc");
  exchange_->resume();
  EXPECT_EQ(heard(), "200 abc. OK");
  EXPECT_FALSE(reusable_);
}

TEST_F(ExchangeTest, CancelledFromInsideItsReceiver) {
  for (const bool in_body : {false, true}) {
    script_ = {};
    (in_body ? script_.on_body : script_.on_head) = [this] { exchange_->cancel(); };
    make({});
    go();
    take(SIZE_MAX);
    hear("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb");
    EXPECT_EQ(heard(), in_body ? "200 b" : "200 ");
    EXPECT_TRUE(exchange_->over());
    EXPECT_FALSE(reusable_);
  }
}

TEST_F(ExchangeTest, WhatMakesAConnectionOfFurtherUse) {
  for (std::string_view answer :
       {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb", "HTTP/1.1 204 OK\r\n\r\n"}) {
    make({});
    go();
    take(SIZE_MAX);
    hear(answer);
    EXPECT_TRUE(reusable_);
    make({});  // not all of the request has gone
    go();
    hear(answer);
    EXPECT_FALSE(reusable_);
    make({});
    go();
    take(SIZE_MAX);
    hear(cat(answer, "H"));
    EXPECT_FALSE(reusable_);
  }
}

}  // namespace
}  // namespace keelson::net
