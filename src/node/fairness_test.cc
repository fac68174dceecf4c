// Clients who want more than there is, and those who want little.

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "base/errors.h"
#include "base/text.h"
#include "node/test_peers.h"

namespace keelson::node {
namespace {

constexpr Origin kFlood{1, 11}, kModest{2, 21};

class FairnessTest : public AmongPeers {
 protected:
  static Options options() {
    Options options = TestMember::small_options();
    options.gateway.max_pending = 90;
    options.gateway.max_pending_reads = 90;
    options.window = {.proposals = 4, .cost = INT64_MAX};
    return options;
  }

  struct Counts {
    int done = 0, refused = 0, failed = 0;
  };

  void start(bool revocations_first = false) {
    Options with = options();
    with.gateway.revocations_first = revocations_first;
    alone_.emplace(random_, with);
    ASSERT_TRUE(alone_->start().ok());
    ASSERT_TRUE(alone_->run_until([&] { return alone_->node().is_leader(); }));
    gateway_ = alone_->node().add_gateway(alone_->schedule.io);
    ASSERT_TRUE(alone_->run_until([&] { return pending() == 0 && alone_->schedule.idle(); }));
  }
  int64_t pending() { return alone_->node().state().proposals_pending.load(); }

  void put(Origin from, Gateway::Space space = Gateway::Space::kTaken) {
    etcdserverpb::PutRequest request;
    request.set_key("k");
    const uint64_t id = ++last_id_;
    gateway_->propose(
        from, id,
        wire::wrap_internal(id, {}, 0, wire::InternalKind::kPut, request.SerializeAsString()),
        space, [this, from](apply::Reply reply) {
          count(from, reply.status);
          if (reply.status.ok()) order_.push_back(from.client);
        });
    gateway_->flush();
  }
  void read(Origin from, size_t bytes = 0) {
    gateway_->read(from, bytes, [this, from](absl::Status status) { count(from, status); });
    gateway_->flush();
  }
  void count(Origin from, const absl::Status& status) {
    Counts& counts = counts_[from.client];
    if (status.ok()) {
      ++counts.done;
    } else if (status == errors::RequestTooManyRequests()) {
      ++counts.refused;
    } else {
      ++counts.failed;
    }
  }

  std::optional<TestMember> alone_;
  Gateway* gateway_ = nullptr;
  std::map<uint64_t, Counts> counts_;
  std::vector<uint64_t> order_;  // of the clients whose puts were done
  uint64_t last_id_ = 1'000'000;
};

TEST_F(FairnessTest, TheFloodIsRefusedAndTheModestClientIsNot) {
  start();
  alone_->schedule.hold(alone_->schedule.apply);
  for (uint64_t i = 0; i < 500; ++i) put({1, 11 + i % 8});
  EXPECT_GE(counts_[1].refused, 400);
  EXPECT_LE(pending(), 60);
  for (int i = 0; i < 5; ++i) put(kModest);
  EXPECT_EQ(counts_[2].refused, 0);
  alone_->schedule.release();
  ASSERT_TRUE(alone_->run_until([&] { return pending() == 0; }));
  EXPECT_EQ(counts_[2].done, 5);
  EXPECT_EQ(counts_[1].done + counts_[1].refused, 500);
  const Refusals& refusals = alone_->node().state().proposals_refused;
  EXPECT_EQ(refusals.share.load(), static_cast<uint64_t>(counts_[1].refused));
  EXPECT_EQ(refusals.full.load(), 0u);
}

TEST_F(FairnessTest, TheFloodOfReadsIsRefusedAndTheModestClientIsNot) {
  start();
  alone_->schedule.hold(alone_->schedule.consensus);
  for (uint64_t i = 0; i < 500; ++i) read({1, 11 + i % 8});
  for (int i = 0; i < 5; ++i) read(kModest);
  EXPECT_GE(counts_[1].refused, 400);
  EXPECT_EQ(counts_[2].refused, 0);
  alone_->schedule.release();
  ASSERT_TRUE(alone_->run_until([&] { return counts_[2].done == 5; }));
  ASSERT_TRUE(alone_->run_until([&] { return counts_[1].done + counts_[1].refused == 500; }));
  EXPECT_EQ(alone_->node().state().reads_refused.share.load(),
            static_cast<uint64_t>(counts_[1].refused));
  // All of it is given back.
  for (int i = 0; i < 40; ++i) read(kFlood);
  ASSERT_TRUE(alone_->run_until([&] { return counts_[1].done + counts_[1].refused == 540; }));
  EXPECT_GE(counts_[1].done, 40);
}

TEST_F(FairnessTest, WhoComesLaterIsNotBehindAllOfTheFlood) {
  start();
  alone_->schedule.hold(alone_->schedule.log);
  for (int i = 0; i < 50; ++i) put(kFlood);
  while (alone_->schedule.run_one()) {
  }
  for (int i = 0; i < 3; ++i) put(kModest);
  while (alone_->schedule.run_one()) {
  }
  alone_->schedule.release();
  ASSERT_TRUE(alone_->run_until([&] { return order_.size() == 53; }));
  // Four were in the log already; from there on they take turns.
  const std::vector<uint64_t> first(order_.begin(), order_.begin() + 12);
  EXPECT_EQ(std::count(first.begin(), first.end(), kModest.client), 3)
      << ::testing::PrintToString(first);
}

// Where this member is a quorum alone, the whole window is committed at once: the rest of the flood
// does not wait for the state machine.
TEST_F(FairnessTest, TheLogGoesOnWhileTheStateMachineWaits) {
  start();
  alone_->schedule.hold(alone_->schedule.apply);
  const uint64_t before = alone_->node().state().committed.load();
  for (int i = 0; i < 50; ++i) put(kFlood);
  while (alone_->schedule.run_one()) {
  }
  EXPECT_EQ(alone_->node().state().committed.load(), before + 50);
  alone_->schedule.release();
  ASSERT_TRUE(alone_->run_until([&] { return order_.size() == 50; }));
}

TEST_F(FairnessTest, RevocationsHaveAShareOfTwiceAsMuch) {
  start(true);
  alone_->schedule.hold(alone_->schedule.apply);
  for (int i = 0; i < 500; ++i) put(kFlood, Gateway::Space::kRevoked);
  EXPECT_GT(pending(), 90);
  EXPECT_LT(pending(), 150);
  put(kModest);
  put(kModest, Gateway::Space::kRevoked);
  EXPECT_EQ(counts_[2].refused, 1);
  alone_->schedule.release();
  ASSERT_TRUE(alone_->run_until([&] { return pending() == 0; }));
  EXPECT_EQ(counts_[2].done, 1);
}

TEST_F(FairnessTest, WhatAReadKeepsCounts) {
  start();
  alone_->schedule.hold(alone_->schedule.consensus);
  for (int i = 0; i < 10; ++i) read(kFlood, 20 << 10);
  EXPECT_EQ(counts_[1].refused, 7);
  read(kModest);
  EXPECT_EQ(counts_[2].refused, 0);
  alone_->schedule.release();
  ASSERT_TRUE(alone_->run_until([&] { return counts_[1].done + counts_[2].done == 4; }));
  // All of it is given back.
  for (int i = 0; i < 40; ++i) read(kFlood);
  EXPECT_EQ(counts_[1].refused, 7);
}

TEST_F(FairnessTest, NothingAtATimeIsNoLimit) {
  EXPECT_DEATH(Gateway::shares({.max_pending = 0}), "max_pending");
}

// What was in the window of a leader may be cut off the log when another one leads: it keeps nobody
// from having his turn when this one leads again.
TEST_F(FairnessTest, AWindowEndsWithItsTerm) {
  member_.options().window = {.proposals = 4, .cost = INT64_MAX};
  lead();
  gateway_ = member_.node().add_gateway(member_.schedule.io);
  while (member_.schedule.run_one()) {
  }
  peers_.silent = {others_.begin(), others_.end()};
  member_.schedule.hold(member_.schedule.log);
  for (int i = 0; i < 50; ++i) put(kFlood);
  while (member_.schedule.run_one()) {
  }
  peers_.silent.clear();
  // Somebody else leads: all that has not had its turn goes there.
  raft::Message heartbeat{.type = raft::MessageType::kMsgHeartbeat,
                          .to = member_.node().member(),
                          .from = others_[0],
                          .term = Term(state().term.load() + 1)};
  const size_t before = peers_.proposals;
  member_.node().consensus().receive(std::move(heartbeat));
  while (member_.schedule.run_one()) {
  }
  EXPECT_EQ(peers_.proposals - before, 46u);
  member_.schedule.release();
}

}  // namespace
}  // namespace keelson::node
