// Clients are led to servers: where to, what when none answers, and when that is tried again.

#include "proxy/gateway.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/quiet_log.h"
#include "base/test_seeds.h"
#include "base/text.h"
#include "proxy/test_lines.h"

namespace keelson::proxy {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;

// Keeps the log's lines: message and, where there is one, address.
class Lines final : public log::Sink {
 public:
  Lines() { log::set_sink(this); }
  ~Lines() override { log::set_sink(nullptr); }
  bool enabled(log::Level) const override { return true; }
  void write(log::Level, std::source_location, std::string_view message,
             log::Fields fields) override {
    std::string line(message);
    for (const log::Field& field : fields) {
      if (field.key != "error") line += cat(" ", field.value);
    }
    lines.push_back(line);
  }
  std::vector<std::string> take() { return std::exchange(lines, {}); }
  std::vector<std::string> lines;
};

class GatewayTest : public testing::Test {
 protected:
  void start(size_t servers, size_t most = SIZE_MAX) {
    std::vector<Endpoint> endpoints(servers);
    for (size_t i = 0; i < servers; ++i) {
      endpoints[i] = {.host = "h", .port = static_cast<uint16_t>(i)};
    }
    gateway_ = std::make_shared<Gateway>(
        std::vector<net::Loop*>{&network_.loop}, endpoints, &dialer_, &random_,
        Gateway::Options{.retry_delay = seconds(60), .most = most});
  }
  ~GatewayTest() override {
    if (!gateway_) return;
    gateway_->begin_drain();
    network_.settle();
    gateway_->cut();
    network_.settle();
    EXPECT_EQ(gateway_->clients(), 0u);
  }
  std::shared_ptr<FarEnd> come() {
    auto client = std::make_shared<FarEnd>();
    gateway_->admit(network_.line(client));
    network_.settle();
    return client;
  }

  Lines log_;
  TestNetwork network_;
  TestDialer dialer_{&network_};
  SeededRandom random_{1};
  std::shared_ptr<Gateway> gateway_;
};

TEST_F(GatewayTest, ClientsAreLedToServersInTurn) {
  start(2);
  std::vector<std::shared_ptr<FarEnd>> clients, servers;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(come());
    EXPECT_EQ(dialer_.called(), cat("h:", i % 2));
    servers.push_back(dialer_.accept());
  }
  for (size_t i = 0; i < 4; ++i) clients[i]->say(cat("from ", i));
  network_.settle();
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(servers[i]->heard, cat("from ", i));
  EXPECT_EQ(gateway_->clients(), 4u);
  servers[1]->break_off();
  network_.settle();
  EXPECT_TRUE(clients[1]->closed);
  EXPECT_EQ(gateway_->clients(), 3u);
  EXPECT_THAT(log_.take(), ElementsAre());
}

TEST_F(GatewayTest, AServerThatRefusesIsLeftOutForAWhile) {
  start(2);
  auto client = come();
  EXPECT_EQ(dialer_.called(), "h:0");
  dialer_.refuse();
  EXPECT_EQ(dialer_.called(), "h:1");
  client->say("hello");
  auto server = dialer_.accept();
  EXPECT_EQ(server->heard, "hello");
  EXPECT_THAT(log_.take(), ElementsAre("deactivated endpoint h:0 1m0s"));
  for (int i = 0; i < 3; ++i) {
    come();
    EXPECT_EQ(dialer_.called(), "h:1");
    dialer_.accept();
  }
  network_.advance(seconds(59));
  EXPECT_EQ(dialer_.waiting(), 0u);
  network_.advance(seconds(1));
  EXPECT_EQ(dialer_.called(), "h:0");
  dialer_.refuse();
  EXPECT_THAT(
      log_.take(),
      ElementsAre("failed to activate endpoint (stay inactive for another interval) h:0 1m0s"));
  network_.advance(seconds(60));
  EXPECT_EQ(dialer_.called(), "h:0");
  auto probe = dialer_.accept();
  EXPECT_TRUE(probe->closed);
  EXPECT_THAT(log_.take(), ElementsAre("activated h:0"));
  come();
  EXPECT_EQ(dialer_.called(), "h:0");
  dialer_.accept();
  network_.advance(seconds(600));
  EXPECT_EQ(dialer_.waiting(), 0u);
}

TEST_F(GatewayTest, WithoutAnyServerClientsAreTurnedAway) {
  start(2);
  auto client = come();
  dialer_.refuse();
  dialer_.refuse(absl::DeadlineExceededError("i/o timeout"));
  EXPECT_TRUE(client->closed);
  EXPECT_EQ(gateway_->clients(), 0u);
  EXPECT_TRUE(come()->closed);
  EXPECT_TRUE(come()->closed);
  EXPECT_THAT(log_.take(),
              ElementsAre("deactivated endpoint h:0 1m0s", "deactivated endpoint h:1 1m0s",
                          "no endpoint is active; clients are turned away until one is"));
  network_.advance(seconds(60));
  EXPECT_EQ(dialer_.waiting(), 2u);
  dialer_.accept();
  EXPECT_FALSE(come()->closed);
}

// Many were on their way to it: the log says it once, and each goes on elsewhere.
TEST_F(GatewayTest, ManyFindOutAtTheSameTime) {
  start(2);
  std::vector<std::shared_ptr<FarEnd>> clients;
  for (int i = 0; i < 10; ++i) clients.push_back(come());
  for (int i = 0; i < 10; ++i) {
    dialer_.called() == "h:0" ? dialer_.refuse() : (void)dialer_.accept();
  }
  EXPECT_EQ(dialer_.waiting(), 5u);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(dialer_.called(), "h:1");
    dialer_.accept();
  }
  EXPECT_EQ(gateway_->clients(), 10u);
  EXPECT_THAT(log_.take(), ElementsAre("deactivated endpoint h:0 1m0s"));
  network_.advance(seconds(60));
  EXPECT_EQ(dialer_.waiting(), 1u);
}

// What this machine is short of is no fault of a server's.
TEST_F(GatewayTest, AShortageOfOursDeactivatesNobody) {
  start(2);
  auto client = come();
  dialer_.refuse(absl::ResourceExhaustedError("too many open files"));
  EXPECT_EQ(dialer_.called(), "h:1");
  dialer_.refuse(absl::ResourceExhaustedError("too many open files"));
  EXPECT_TRUE(client->closed);
  EXPECT_THAT(log_.take(), ElementsAre("this machine cannot connect a client"));
  come();
  EXPECT_EQ(dialer_.called(), "h:0");
  dialer_.accept();
  network_.advance(seconds(60));
  EXPECT_EQ(dialer_.waiting(), 0u);
}

TEST_F(GatewayTest, OnlySoManyAtATime) {
  start(1, 2);
  auto first = come();
  auto second = come();
  EXPECT_FALSE(gateway_->room());
  auto server = dialer_.accept();
  EXPECT_FALSE(gateway_->room());
  first->say_last();
  server->say_last();
  network_.settle();
  EXPECT_TRUE(gateway_->room());
}

TEST_F(GatewayTest, EndsInOrder) {
  start(2);
  auto joined = come();
  auto server = dialer_.accept();
  auto calling = come();
  dialer_.refuse();  // a check of that server is due
  EXPECT_EQ(dialer_.waiting(), 1u);
  server->room = 2;
  joined->say("taken");
  network_.settle();
  gateway_->begin_drain();
  network_.settle();
  EXPECT_TRUE(calling->closed);
  EXPECT_TRUE(joined->heard_last);
  EXPECT_FALSE(joined->closed);
  EXPECT_EQ(gateway_->clients(), 1u);
  server->room = SIZE_MAX;
  joined->say_last();
  server->say_last();
  network_.settle();
  EXPECT_EQ(server->heard, "taken");
  EXPECT_EQ(gateway_->clients(), 0u);
  EXPECT_TRUE(gateway_->wait_until_empty(std::chrono::steady_clock::now()));
  EXPECT_TRUE(come()->closed);
  network_.advance(seconds(600));  // and nobody is called any more
}

// Any number of clients and servers that do anything: every byte that was said before an end
// arrives, nothing else does, and nobody is left over.
TEST_F(GatewayTest, WhateverClientsAndServersDo) {
  log::QuietLog quiet;
  for_each_seed(20, [&](uint64_t seed) {
    if (gateway_) gateway_->begin_drain();
    network_.settle();
    dialer_.reset();
    start(3);
    SeededRandom random(seed);
    struct Pair {
      std::shared_ptr<FarEnd> client, server;
      std::string to_server, to_client;
    };
    std::vector<Pair> pairs;
    const auto chatter = [&](FarEnd& end, std::string& said) {
      if (end.said_last || end.broken) return;
      const std::string text(random.below(200'000), static_cast<char>('a' + random.below(26)));
      end.say(text);
      said += text;
      if (random.below(20) == 0) end.say_last();
      if (random.below(60) == 0) end.break_off();
    };
    const auto appetite = [&](FarEnd& end) {
      end.room = random.below(3) == 0 ? SIZE_MAX : random.below(100'000);
    };
    for (int step = 0; step < 300; ++step) {
      if (random.below(10) == 0) {
        auto client = come();
        while (dialer_.waiting() > 0 && !client->closed) {
          if (random.below(4) == 0) {
            dialer_.refuse();
          } else {
            pairs.push_back({client, dialer_.accept(), "", ""});
          }
        }
      }
      if (random.below(10) == 0) network_.advance(seconds(random.below(90)));
      while (dialer_.waiting() > 0) {  // checks of servers
        random.below(2) == 0 ? dialer_.refuse() : (void)dialer_.accept();
      }
      if (pairs.empty()) continue;
      Pair& pair = pairs[random.below(pairs.size())];
      chatter(*pair.client, pair.to_server);
      chatter(*pair.server, pair.to_client);
      appetite(*pair.client);
      appetite(*pair.server);
      network_.settle();
    }
    for (Pair& pair : pairs) {
      for (FarEnd* end : {pair.client.get(), pair.server.get()}) {
        end->room = SIZE_MAX;
        end->say_last();
      }
    }
    network_.settle();
    for (const Pair& pair : pairs) {
      ASSERT_TRUE(std::string_view(pair.to_server).starts_with(pair.server->heard));
      ASSERT_TRUE(std::string_view(pair.to_client).starts_with(pair.client->heard));
      EXPECT_TRUE(pair.client->closed && pair.server->closed);
      const bool broken = pair.client->broken || pair.server->broken;
      if (broken) continue;
      EXPECT_FALSE(pair.client->reset || pair.server->reset);
      EXPECT_EQ(pair.server->heard, pair.to_server);
      EXPECT_EQ(pair.client->heard, pair.to_client);
    }
    EXPECT_EQ(gateway_->clients(), 0u);
  });
}

}  // namespace
}  // namespace keelson::proxy
