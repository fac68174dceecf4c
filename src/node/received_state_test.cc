// Which states that other members send this one can go on with.

#include "node/received_state.h"

#include <gtest/gtest.h>

#include "base/endian.h"
#include "node/test_member.h"

namespace keelson::node {
namespace {

using backend::Bucket;

class ReceivedStateTest : public ::testing::Test {
 protected:
  ReceivedStateTest() {
    EXPECT_TRUE(member_.start().ok());
    EXPECT_TRUE(member_.run_until([&] { return member_.node().is_leader(); }));
    for (int i = 0; i < 3; ++i) {
      bool done = false;
      member_.put(cat("k", i), "v", [&](const apply::Reply& reply) { done = reply.status.ok(); });
      EXPECT_TRUE(member_.run_until([&] { return done; }));
    }
  }

  // A state at `index`, with so many revisions and a record more.
  absl::Status check(uint64_t index, int revisions, Bucket bucket = Bucket::kKey,
                     std::string_view key = {}, std::string_view value = {}) {
    ReceivedState state{.index = Index(index), .term = Term(9)};
    state.backend = std::make_shared<backend::MemoryBackend>();
    backend::WriteBatch batch;
    if (!key.empty()) batch.put(bucket, key, value);
    EXPECT_TRUE(state.backend->commit(batch, state.index, state.term).ok());
    state.store = *mvcc::Store::open(state.backend.get());
    for (int i = 0; i < revisions; ++i) {
      mvcc::WriteTxn txn = state.store->begin();
      EXPECT_TRUE(txn.put({.key = "k"}).ok());
    }
    EXPECT_TRUE(state.store->publish(state.index, state.term).ok());
    return member_.node().check(state);
  }

  log::QuietLog quiet_;
  SeededRandom random_{7};
  TestMember member_{random_};
};

TEST_F(ReceivedStateTest, OneWhoseTablesCannotBeReadIsRefused) {
  EXPECT_TRUE(check(1000, 10).ok());
  EXPECT_TRUE(check(1000, 10, Bucket::kCluster, "clusterVersion", "3.7.0").ok());
  EXPECT_FALSE(check(1000, 10, Bucket::kCluster, "clusterVersion", "3.7.x").ok());
  EXPECT_FALSE(check(1000, 10, Bucket::kCluster, "clusterVersion", "3.8.0").ok());
  EXPECT_FALSE(check(1000, 10, Bucket::kCluster, "downgrade", "{").ok());
  EXPECT_FALSE(check(1000, 10, Bucket::kMembers, "1", "{").ok());
  EXPECT_FALSE(check(1000, 10, Bucket::kMembersRemoved, "x").ok());
  EXPECT_FALSE(check(1000, 10, Bucket::kAlarm, "x").ok());
  EXPECT_TRUE(check(1000, 10, Bucket::kLease, big64(5), "\x08\x05\x10\x3c").ok());
  EXPECT_FALSE(check(1000, 10, Bucket::kLease, big64(5), "junk").ok());
  EXPECT_FALSE(check(1000, 10, Bucket::kLease, big64(5), "\x08\x06\x10\x3c").ok());
  EXPECT_FALSE(check(1000, 10, Bucket::kLease, big64(0), "\x10\x3c").ok());
  EXPECT_FALSE(check(1000, 10, Bucket::kAuth, "authRevision", "1").ok());
  EXPECT_FALSE(check(1000, 10, Bucket::kAuthUsers, "u", "\x0a").ok());
  EXPECT_FALSE(check(1000, 10, Bucket::kAuthRoles, "r", "\x0a").ok());
}

TEST_F(ReceivedStateTest, OneThatIsLaterInTheLogAndEarlierInItsRevisionsIsRefused) {
  ASSERT_EQ(member_.node().store().revision(), 4);
  EXPECT_TRUE(absl::IsDataLoss(check(1000, 2)));
  EXPECT_TRUE(check(1000, 3).ok());
  // Of no use, but nothing wrong.
  EXPECT_TRUE(check(2, 0).ok());
}

// The log has its mark already: what was applied since the state was looked at shows only then.
TEST_F(ReceivedStateTest, OneThatGoesBackAfterAllEndsTheMemberInOrder) {
  ReceivedState state{.index = Index(1000), .term = Term(9)};
  state.backend = std::make_shared<backend::MemoryBackend>();
  ASSERT_TRUE(state.backend->commit({}, state.index, state.term).ok());
  state.store = *mvcc::Store::open(state.backend.get());
  member_.node().apply_lane().install(std::move(state));
  EXPECT_FALSE(member_.run_until([] { return false; }));
  EXPECT_TRUE(member_.dead());
  EXPECT_TRUE(absl::IsDataLoss(member_.fatal)) << member_.fatal;
}

}  // namespace
}  // namespace keelson::node
