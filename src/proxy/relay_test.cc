// Two sockets joined: bytes, ends, failures, and who waits for whom.

#include "proxy/relay.h"

#include <gtest/gtest.h>

#include "proxy/test_lines.h"

namespace keelson::proxy {
namespace {

class RelayTest : public testing::Test {
 protected:
  RelayTest() {
    relay_ = std::make_shared<Relay>(&network_.loop, network_.line(client_), network_.line(server_),
                                     [this](Relay*) {
                                       ++over_;
                                       relay_.reset();
                                     });
    relay_->start();
    settle();
  }
  ~RelayTest() override {
    if (relay_) relay_->cut();
    EXPECT_EQ(over_, 1);
    EXPECT_TRUE(client_->closed);
    EXPECT_TRUE(server_->closed);
  }
  void settle() { network_.settle(); }

  TestNetwork network_;
  std::shared_ptr<FarEnd> client_ = std::make_shared<FarEnd>();
  std::shared_ptr<FarEnd> server_ = std::make_shared<FarEnd>();
  std::shared_ptr<Relay> relay_;
  int over_ = 0;
};

TEST_F(RelayTest, BytesGoBothWays) {
  client_->say("question");
  server_->say("greeting");
  settle();
  EXPECT_EQ(server_->heard, "question");
  EXPECT_EQ(client_->heard, "greeting");
  EXPECT_FALSE(server_->heard_last);
}

TEST_F(RelayTest, WhoHasSaidItsLastIsStillAnswered) {
  client_->say("all of it");
  client_->say_last();
  settle();
  EXPECT_EQ(server_->heard, "all of it");
  EXPECT_TRUE(server_->heard_last);
  EXPECT_FALSE(client_->heard_last);
  server_->say(std::string(1 << 20, 'a'));
  settle();
  EXPECT_EQ(client_->heard.size(), size_t{1} << 20);
  EXPECT_EQ(over_, 0);
  server_->say_last();
  settle();
  EXPECT_TRUE(client_->heard_last);
  EXPECT_EQ(over_, 1);
  EXPECT_FALSE(client_->reset || server_->reset);
}

TEST_F(RelayTest, TheServerMayEndFirst) {
  server_->say("bye");
  server_->say_last();
  settle();
  EXPECT_TRUE(client_->heard_last);
  client_->say("one more thing");
  client_->say_last();
  settle();
  EXPECT_EQ(server_->heard, "one more thing");
  EXPECT_EQ(over_, 1);
}

// Nothing more is read than the receiver's socket and one read hold.
TEST_F(RelayTest, WhoDoesNotTakeHoldsTheOtherUp) {
  client_->room = 100;
  server_->say(std::string(1 << 20, 'x'));
  settle();
  EXPECT_EQ(client_->heard.size(), 100u);
  EXPECT_EQ(server_->said.size(), (size_t{1} << 20) - (64 << 10));
  // The other way is not held up.
  client_->say("still here");
  settle();
  EXPECT_EQ(server_->heard, "still here");
  client_->room = 10;
  settle();
  EXPECT_EQ(client_->heard.size(), 110u);
  EXPECT_EQ(server_->said.size(), (size_t{1} << 20) - (64 << 10));
  client_->room = SIZE_MAX;
  server_->say_last();
  settle();
  EXPECT_EQ(client_->heard.size(), size_t{1} << 20);
  EXPECT_TRUE(client_->heard_last);
}

TEST_F(RelayTest, AnEndWaitsForWhatWasSaidBefore) {
  server_->room = 3;
  client_->say("slowly");
  client_->say_last();
  settle();
  EXPECT_EQ(server_->heard, "slo");
  EXPECT_FALSE(server_->heard_last);
  server_->room = 3;
  settle();
  EXPECT_EQ(server_->heard, "slowly");
  EXPECT_TRUE(server_->heard_last);
}

// Half of something must not look like all of it.
TEST_F(RelayTest, WhoBreaksOffBreaksTheOther) {
  client_->say("half of");
  client_->break_off();
  settle();
  EXPECT_EQ(server_->heard, "half of");
  EXPECT_TRUE(server_->reset);
  EXPECT_FALSE(server_->heard_last);
  EXPECT_EQ(over_, 1);
}

TEST_F(RelayTest, WhoBreaksOffWhileItIsWaitedFor) {
  client_->room = 0;
  server_->say("something");
  settle();
  client_->break_off();
  settle();
  EXPECT_TRUE(server_->reset);
  EXPECT_EQ(over_, 1);
}

// It has said its last, so no read would tell.
TEST_F(RelayTest, WhoIsGoneBehindItsLastWordIsNoticed) {
  client_->say_last();
  settle();
  EXPECT_EQ(over_, 0);
  client_->break_off();
  settle();
  EXPECT_TRUE(server_->reset);
  EXPECT_EQ(over_, 1);
}

TEST_F(RelayTest, FinishesWithWhatWasRead) {
  server_->room = 4;
  client_->say("taken");
  settle();
  relay_->finish();
  settle();
  EXPECT_TRUE(client_->heard_last);
  EXPECT_FALSE(server_->heard_last);
  client_->say(" and not taken");
  settle();
  server_->room = SIZE_MAX;
  settle();
  EXPECT_EQ(server_->heard, "taken");
  EXPECT_TRUE(server_->heard_last);
  EXPECT_EQ(over_, 0);
  client_->say_last();
  server_->say("too late");
  server_->say_last();
  settle();
  EXPECT_EQ(client_->heard, "");
  EXPECT_EQ(over_, 1);
}

TEST_F(RelayTest, FinishesWhoWasHalfOver) {
  client_->say_last();
  settle();
  relay_->finish();
  settle();
  EXPECT_TRUE(client_->heard_last);
  EXPECT_EQ(over_, 0);
  server_->say_last();
  settle();
  EXPECT_EQ(over_, 1);
}

TEST_F(RelayTest, IsCut) {
  server_->room = 0;
  client_->say("never taken");
  settle();
  relay_->cut();
  EXPECT_EQ(over_, 1);
}

}  // namespace
}  // namespace keelson::proxy
