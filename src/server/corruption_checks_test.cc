// What the leader makes of the members' hashes: whom it names, and when it goes on to an older one.

#include "server/corruption_checks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>

#include "base/errors.h"
#include "base/quiet_log.h"
#include "node/test_lane.h"

namespace keelson::server {
namespace {

using mvcc::KvHash;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr MemberId kSelf{1};
constexpr Term kTerm{7};

PeerHash peer(uint64_t id, absl::StatusOr<KvHash> hash) {
  return {.member = MemberId(id), .urls = {"http://p"}, .hash = std::move(hash)};
}
KvHash at(uint32_t hash, int64_t revision = 10, int64_t compacted = 5) {
  return {.hash = hash,
          .compact_revision = compacted,
          .hash_revision = revision,
          .current_revision = revision};
}

// A cluster that says what the test has laid down, in order; the last one again and again.
class Told final : public CorruptionChecks::Cluster {
 public:
  MemberId self() const override { return kSelf; }
  std::optional<Term> leads() const override { return term; }
  void hash(Done<absl::StatusOr<KvHash>> done) override { done(next(own)); }
  std::vector<KvHash> compaction_hashes() const override { return compactions; }
  void ask_others(int64_t revision, Done<std::vector<PeerHash>> done) override {
    asked.push_back(revision);
    done(next(others));
  }
  void confirm(Done<absl::Status> done) override { done(confirmed); }
  void raise_alarm(Term term, MemberId member) override {
    EXPECT_EQ(term, kTerm);
    alarms.push_back(member.value);
  }

  template <typename Value>
  static Value next(std::deque<Value>& values) {
    Value value = values.front();
    if (values.size() > 1) values.pop_front();
    return value;
  }

  std::optional<Term> term = kTerm;
  std::deque<absl::StatusOr<KvHash>> own;
  std::deque<std::vector<PeerHash>> others;
  std::vector<KvHash> compactions;
  absl::Status confirmed;
  std::vector<int64_t> asked;
  std::vector<uint64_t> alarms;
};

class CorruptionChecksTest : public testing::Test {
 protected:
  absl::Status check() {
    absl::Status result = absl::UnknownError("not called");
    checks_.check(kTerm, [&](absl::Status status) { result = std::move(status); });
    return result;
  }
  void check_compactions() {
    bool done = false;
    checks_.check_compactions(kTerm, [&] { done = true; });
    EXPECT_TRUE(done);
  }

  log::QuietLog quiet_;
  node::ManualLane lane_;
  Told cluster_;
  CorruptionChecks checks_{lane_, cluster_, {}};
};

TEST_F(CorruptionChecksTest, NobodyIsNamedWhoHoldsTheSameOrSaysNothing) {
  cluster_.own = {at(1)};
  cluster_.others = {{peer(2, at(1)), peer(3, absl::UnavailableError("down"))}};
  EXPECT_TRUE(check().ok());
  // One that has not compacted yet, and one that is behind.
  cluster_.others = {{peer(2, at(9, 10, 4)), peer(3, errors::FutureRev())}};
  EXPECT_TRUE(check().ok());
  EXPECT_THAT(cluster_.alarms, IsEmpty());
  EXPECT_THAT(cluster_.asked, ElementsAre(10, 10));
}

TEST_F(CorruptionChecksTest, TheFirstThatDiffersIsNamed) {
  cluster_.own = {at(1)};
  cluster_.others = {{peer(2, at(1)), peer(3, at(2)), peer(4, at(3))}};
  EXPECT_TRUE(check().ok());
  EXPECT_THAT(cluster_.alarms, ElementsAre(3));
}

TEST_F(CorruptionChecksTest, WhoIsAheadOfTheLeaderIsNamed) {
  cluster_.own = {at(1)};
  cluster_.others = {{peer(
      2, KvHash{.hash = 1, .compact_revision = 5, .hash_revision = 10, .current_revision = 11})}};
  EXPECT_TRUE(check().ok());
  cluster_.others = {{peer(3, at(1, 10, 6))}};
  EXPECT_TRUE(check().ok());
  EXPECT_THAT(cluster_.alarms, ElementsAre(2, 3));
  // It may be ahead of what the leader had hashed first, not of what it has then.
  cluster_.own = {at(1), at(4, 12, 6)};
  EXPECT_TRUE(check().ok());
  EXPECT_THAT(cluster_.alarms, ElementsAre(2, 3));
}

TEST_F(CorruptionChecksTest, ALeaderThatIsNotEvenItsOwnOpinionNamesItself) {
  cluster_.own = {at(1), at(2)};
  cluster_.others = {{peer(2, at(3))}};
  EXPECT_TRUE(check().ok());
  EXPECT_THAT(cluster_.alarms, ElementsAre(1));
  // Of another revision, or after a compaction, there is nothing to be said.
  cluster_.own = {at(1), at(2, 11)};
  cluster_.others = {{peer(2, at(1))}};
  EXPECT_TRUE(check().ok());
  cluster_.own = {at(1), at(2, 10, 6)};
  EXPECT_TRUE(check().ok());
  EXPECT_THAT(cluster_.alarms, ElementsAre(1));
}

TEST_F(CorruptionChecksTest, WithoutAHashOrAReadNobodyIsNamed) {
  cluster_.own = {absl::StatusOr<KvHash>(errors::RequestTooManyRequests())};
  cluster_.others = {{peer(2, at(3))}};
  EXPECT_EQ(check(), errors::RequestTooManyRequests());
  cluster_.own = {at(1)};
  cluster_.confirmed = errors::Timeout();
  EXPECT_EQ(check(), errors::Timeout());
  EXPECT_THAT(cluster_.alarms, IsEmpty());
}

TEST_F(CorruptionChecksTest, CompactionsAreLookedAtFromTheNewestUntilAllAreCompared) {
  cluster_.compactions = {at(1, 10, 0), at(2, 20, 10), at(3, 30, 20)};
  // One compacts yet; then all have.
  cluster_.others = {{peer(2, at(3, 30, 20)), peer(3, at(8, 30, 10))},
                     {peer(2, at(2, 20, 10)), peer(3, at(2, 20, 10))}};
  check_compactions();
  EXPECT_THAT(cluster_.asked, ElementsAre(30, 20));
  // What was compared is not looked at again.
  cluster_.asked.clear();
  cluster_.others = {{peer(2, at(3, 30, 20)), peer(3, at(3, 30, 20))}};
  check_compactions();
  check_compactions();
  EXPECT_THAT(cluster_.asked, ElementsAre(30));
  EXPECT_THAT(cluster_.alarms, IsEmpty());
}

TEST_F(CorruptionChecksTest, TheFewAreNamedBesideAMajority) {
  cluster_.compactions = {at(1)};
  cluster_.others = {{peer(2, at(1)), peer(3, at(2)), peer(4, at(1)), peer(5, at(3))}};
  check_compactions();
  EXPECT_THAT(cluster_.alarms, ElementsAre(3, 5));
  // The leader, too.
  cluster_.alarms.clear();
  cluster_.others = {{peer(2, at(2)), peer(3, at(2))}};
  check_compactions();
  EXPECT_THAT(cluster_.alarms, ElementsAre(1));
  // A majority is one of all members, whether they answer or not; without one it may be anybody.
  cluster_.alarms.clear();
  cluster_.others = {{peer(2, at(2)), peer(3, absl::UnavailableError("down"))}};
  check_compactions();
  EXPECT_THAT(cluster_.alarms, ElementsAre(0));
}

TEST_F(CorruptionChecksTest, OnlyALeaderLooks) {
  CorruptionChecks checks(
      lane_, cluster_,
      {.interval = std::chrono::seconds(3), .compaction_interval = std::chrono::seconds(2)});
  cluster_.own = {at(1)};
  cluster_.others = {{peer(2, at(2))}};
  cluster_.compactions = {at(1)};
  cluster_.term.reset();
  checks.start();
  ASSERT_EQ(lane_.tasks.size(), 2u);
  lane_.step();
  lane_.step();
  EXPECT_THAT(cluster_.asked, IsEmpty());
  cluster_.term = kTerm;
  lane_.step();
  lane_.step();
  EXPECT_THAT(cluster_.asked, ElementsAre(10, 10));
  EXPECT_EQ(lane_.tasks.size(), 2u);
}

TEST(JudgeInitially, RefusesWhoDiffersAtTheSameCompaction) {
  log::QuietLog quiet;
  const MemberId self(0xab);
  EXPECT_TRUE(judge_initially(self, at(1), {}).ok());
  EXPECT_TRUE(judge_initially(self, at(1), {peer(2, at(1)), peer(3, at(2, 10, 4))}).ok());
  EXPECT_TRUE(judge_initially(
                  self, at(1),
                  {peer(2, errors::FutureRev()), peer(3, errors::Compacted()),
                   peer(4, errors::ClusterIDMismatch()), peer(5, absl::UnavailableError("down"))})
                  .ok());
  EXPECT_EQ(judge_initially(self, at(1), {peer(2, at(1)), peer(3, at(2))}),
            absl::FailedPreconditionError("ab found data inconsistency with peers"));
}

}  // namespace
}  // namespace keelson::server
