#include "peer/first_contact.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "base/text.h"

namespace keelson::peer {
namespace {

constexpr MemberId kSelf{1}, kOther{2}, kThird{3};

membership::Member member(MemberId id, bool started) {
  membership::Member member;
  member.id = id;
  member.peer_urls = {cat("http://peer-", id.value)};
  if (started) member.client_urls = {"http://client"};
  return member;
}

// What it does, in a line.
class Witness final : public Receiver {
 public:
  void receive(std::vector<raft::Message> messages, Task taken) override {
    for (const raft::Message& message : messages) {
      seen += cat(" ", message.from.value, ":", message.term.value);
    }
    taken();
  }
  void unreachable(MemberId) override {}
  void gone(MemberId) override {}
  void snapshot_sent(MemberId, bool) override {}
  void removed() override {}

  std::string seen;
};

class FirstContactTest : public ::testing::Test {
 protected:
  FirstContactTest() {
    view_->members = {member(kSelf, false), member(kOther, false), member(kThird, false)};
  }

  void come(MemberId from, uint64_t term) {
    std::vector<raft::Message> messages(1);
    messages[0].from = from;
    messages[0].term = Term(term);
    contact_.receive(std::move(messages), [this] { ++taken_; });
  }
  // The oldest question.
  void answer(absl::StatusOr<RemoteCluster> cluster) {
    Done<RemoteCluster> done = std::move(asked_.front().second);
    asked_.erase(asked_.begin());
    done(std::move(cluster));
  }
  static RemoteCluster knows(bool self_started) {
    return {.members = {member(kOther, true), member(kSelf, self_started)}};
  }

  Witness witness_;
  std::shared_ptr<membership::View> view_ = std::make_shared<membership::View>();
  std::vector<std::pair<Urls, Done<RemoteCluster>>> asked_;
  bool announced_ = false;
  int taken_ = 0;
  std::vector<absl::Status> refused_;
  FirstContact contact_{{.receiver = &witness_,
                         .ask =
                             [this](Urls urls, Done<RemoteCluster> done) {
                               asked_.emplace_back(std::move(urls), std::move(done));
                             },
                         .self = kSelf,
                         .members = [this] { return view_; },
                         .has_announced = [this] { return announced_; },
                         .refused = [this](absl::Status s) { refused_.push_back(std::move(s)); }}};
};

TEST_F(FirstContactTest, MessagesWaitForOneAnswerOfTheirs) {
  come(kOther, 1);
  come(kOther, 2);
  come(kThird, 3);
  ASSERT_EQ(asked_.size(), 2u);
  EXPECT_EQ(asked_[0].first, Urls{"http://peer-2"});
  EXPECT_EQ(asked_[1].first, Urls{"http://peer-3"});
  EXPECT_EQ(witness_.seen, "");
  EXPECT_EQ(taken_, 0);
  answer(knows(false));
  EXPECT_EQ(witness_.seen, " 2:1 2:2");
  come(kOther, 4);
  EXPECT_EQ(witness_.seen, " 2:1 2:2 2:4");
  answer(knows(false));
  EXPECT_EQ(witness_.seen, " 2:1 2:2 2:4 3:3");
  EXPECT_EQ(taken_, 4);
  EXPECT_TRUE(asked_.empty());
  EXPECT_TRUE(refused_.empty());
}

TEST_F(FirstContactTest, WhoIsKnownAsStartedTakesNoPart) {
  come(kOther, 1);
  come(kThird, 1);
  answer(knows(true));
  ASSERT_EQ(refused_.size(), 1u);
  EXPECT_EQ(refused_[0].message(), "member 1 has already been bootstrapped");
  answer(knows(false));
  announced_ = true;
  come(kOther, 2);
  come(kThird, 2);
  EXPECT_EQ(witness_.seen, "");
  EXPECT_EQ(taken_, 4);
  EXPECT_EQ(refused_.size(), 1u);
  EXPECT_TRUE(asked_.empty());
}

// By way of another one it has said so itself.
TEST_F(FirstContactTest, WhatItHasAnnouncedItselfIsNoSign) {
  come(kThird, 1);
  announced_ = true;
  answer(knows(true));
  EXPECT_EQ(witness_.seen, " 3:1");
  come(kOther, 2);
  EXPECT_EQ(witness_.seen, " 3:1 2:2");
  EXPECT_TRUE(asked_.empty());
  EXPECT_TRUE(refused_.empty());
}

TEST_F(FirstContactTest, WhoCannotBeAskedIsAskedAgain) {
  come(kOther, 1);
  answer(absl::UnavailableError("it does not answer"));
  EXPECT_EQ(taken_, 1);
  EXPECT_EQ(witness_.seen, "");
  view_->members.clear();
  come(kOther, 2);
  ASSERT_EQ(asked_.size(), 1u);
  EXPECT_TRUE(asked_[0].first.empty()) << "it is in no table yet";
  answer(knows(false));
  EXPECT_EQ(witness_.seen, " 2:2");
}

}  // namespace
}  // namespace keelson::peer
