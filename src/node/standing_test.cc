// A member whose core has heard of a new leader before the member has looked at what that brings.

#include <gtest/gtest.h>

#include <optional>

#include "base/errors.h"
#include "node/test_peers.h"

namespace keelson::node {
namespace {

class StandingTest : public AmongPeers {
 protected:
  raft::Message from_other(raft::MessageType type, Term term) {
    return {.type = type, .to = member_.node().member(), .from = others_[0], .term = term};
  }
  Term next_term() { return Term(state().term.load() + 1); }
  // Until nothing of the consensus lane or any other waits but for a timer.
  void settle() {
    while (member_.schedule.run_one()) {
    }
  }
};

// The vote is in, and a tick comes before the member has looked: it is not over yet.
TEST_F(StandingTest, ATransferIsNotGivenUpBecauseTheLeaderHasVoted) {
  lead();
  settle();
  std::optional<absl::Status> answer;
  member_.node().consensus().transfer_leader(others_[0], std::chrono::seconds(7),
                                             [&](absl::Status status) { answer = status; });
  settle();
  ASSERT_TRUE(peers_.told_to_lead.contains(others_[0]));
  raft::Message vote = from_other(raft::MessageType::kMsgVote, next_term());
  vote.index = Index(1000);
  vote.log_term = Term(state().term.load());
  vote.context = Bytes::copy("CampaignTransfer");
  member_.node().consensus().receive(std::move(vote));
  member_.schedule.advance_to(*member_.schedule.next_timer());
  settle();
  EXPECT_FALSE(member_.node().is_leader());
  EXPECT_FALSE(answer.has_value()) << *answer;
  member_.node().consensus().receive(
      from_other(raft::MessageType::kMsgHeartbeat, Term(state().term.load())));
  settle();
  ASSERT_TRUE(answer.has_value());
  EXPECT_TRUE(answer->ok()) << *answer;
}

// Or the new leader would get a revocation that it knows nothing of.
TEST_F(StandingTest, WhatOnlyALeaderMayAskForIsNotForwarded) {
  lead();
  settle();
  const Term led{state().term.load()};
  Gateway& gateway = *member_.node().add_gateway(member_.schedule.io);
  std::optional<absl::Status> answer;
  gateway.propose_in(led, 77, Bytes::copy("x"), Gateway::Space::kRevoked,
                     [&](apply::Reply reply) { answer = reply.status; });
  member_.node().consensus().receive(from_other(raft::MessageType::kMsgHeartbeat, next_term()));
  gateway.flush();
  settle();
  EXPECT_EQ(state().leader.load(), others_[0].value);
  EXPECT_EQ(peers_.proposals, 0u);
  EXPECT_EQ(answer, errors::LeaderChanged());
}

// A tick asks for a read again, and before that has left there is another leader: who led before
// would forward it, and a member of etcd ends by a term in what it forwards.
TEST_F(StandingTest, ALeaderIsToldOfNoTermButItsOwn) {
  ASSERT_TRUE(member_.start().ok());
  settle();
  const auto beat = [&](size_t other, Term term) {
    member_.node().consensus().receive({.type = raft::MessageType::kMsgHeartbeat,
                                        .to = member_.node().member(),
                                        .from = others_[other],
                                        .term = term});
  };
  const Term term = next_term(), later(term.value + 1);
  beat(0, term);
  settle();
  member_.confirm([](const absl::Status&) {});
  settle();
  ASSERT_EQ(peers_.reads.size(), 1u);
  EXPECT_EQ(peers_.reads[0].term, term);
  // Until the tick that asks again, which is found by trying: the messages come behind each.
  const MonotonicTime asked = now();
  while (now() < asked + std::chrono::milliseconds(400)) {
    member_.schedule.advance_to(*member_.schedule.next_timer());
    beat(0, term);
    settle();
  }
  ASSERT_EQ(peers_.reads.size(), 1u);
  while (peers_.reads.size() < 2 && now() < asked + std::chrono::milliseconds(800)) {
    member_.schedule.advance_to(*member_.schedule.next_timer());
    if (now() >= asked + std::chrono::milliseconds(500)) beat(1, later);
    settle();
  }
  ASSERT_GE(peers_.reads.size(), 2u);
  for (const raft::Message& read : peers_.reads) {
    if (read.to == others_[0]) {
      EXPECT_NE(read.term, later);
    }
  }
}

}  // namespace
}  // namespace keelson::node
