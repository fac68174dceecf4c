// Clusters whose members change, whose leadership is handed over, and who have lost their quorum.

#include <gtest/gtest.h>

#include <set>

#include "base/errors.h"
#include "base/test_seeds.h"
#include "raft/conf_change.h"
#include "sim/world.h"

namespace keelson::sim {
namespace {

using raft::ConfChangeType;

constexpr Duration kPatience = std::chrono::seconds(30);

class Group {
 public:
  // kShort: who falls behind a little is sent one, and does not hear what became of what it
  // asked for.
  enum Log { kLong, kShort };
  explicit Group(uint64_t seed, Log log = kLong) : random_(seed), world_(random_, 3, {}) {
    for (int i = 0; i < 3; ++i) {
      if (log == kLong) member(i).options().recovery.keep = {.entries = 10'000, .bytes = 1 << 20};
      EXPECT_TRUE(world_.start(i).ok());
    }
    EXPECT_TRUE(run_until([&] { return all_know_a_leader() && version() == "3.7.0"; }));
  }
  ~Group() { EXPECT_TRUE(world_.verdict().ok()) << world_.verdict().text(); }

  World& world() { return world_; }
  node::TestMember& member(int i) { return world_.member(i); }
  node::Node& node(int i) { return world_.member(i).node(); }
  bool run_until(const std::function<bool()>& done, Duration most = kPatience) {
    return world_.run_until(done, most);
  }
  void run_for(Duration time) {
    run_until([] { return false; }, time);
  }

  bool all_know_a_leader() {
    for (int i = 0; i < world_.size(); ++i) {
      if (world_.up(i) && node(i).state().leader.load() == 0) return false;
    }
    return true;
  }
  int leader() {
    int found = -1;
    EXPECT_TRUE(run_until([&] {
      for (int i = 0; i < world_.size(); ++i) {
        if (world_.up(i) && node(i).is_leader()) found = i;
      }
      return found >= 0;
    }));
    return found;
  }
  std::string version() { return node(0).members().view()->cluster_version; }

  // What became of one put through `i`.
  absl::Status put(int i, std::string_view key) {
    std::optional<absl::Status> answer;
    member(i).put(key, "v", [&](apply::Reply reply) { answer = std::move(reply.status); });
    EXPECT_TRUE(run_until([&] { return answer.has_value(); }));
    return answer.value_or(absl::InternalError("no answer"));
  }
  absl::Status change(int i, raft::ConfChange change) {
    std::optional<absl::Status> answer;
    member(i).propose_change(std::move(change),
                             [&](apply::Reply reply) { answer = std::move(reply.status); });
    EXPECT_TRUE(run_until([&] { return answer.has_value(); }));
    return answer.value_or(absl::InternalError("no answer"));
  }
  absl::Status hand_over(int from, int to) {
    std::optional<absl::Status> answer;
    node(from).hand_over_leadership(world_.id(to), std::chrono::seconds(7),
                                    [&](absl::Status status) { answer = std::move(status); });
    EXPECT_TRUE(run_until([&] { return answer.has_value(); }));
    return answer.value_or(absl::InternalError("no answer"));
  }

 private:
  SeededRandom random_;
  World world_;
};

raft::ConfChange add(const membership::Member& member) {
  return {.type = member.is_learner ? ConfChangeType::kAddLearnerNode : ConfChangeType::kAddNode,
          .node_id = member.id,
          .context = membership::encode_context(member)};
}
raft::ConfChange promote(MemberId id) {
  return {
      .type = ConfChangeType::kAddNode, .node_id = id, .context = membership::encode_promotion(id)};
}
raft::ConfChange remove(MemberId id) {
  return {.type = ConfChangeType::kRemoveNode, .node_id = id};
}
membership::Member some_member(int number, bool learner) {
  return membership::new_member({cat("http://10.0.1.", number, ":2380")}, learner,
                                std::chrono::seconds(1'700'000'000 + number));
}

class MembershipTest : public ::testing::Test {
 protected:
  log::QuietLog quiet_;
};

// What comes in between, here or at another member, waits; nobody waits for its time-out.
TEST_F(MembershipTest, AHandOverOfTheLeadershipLosesNothing) {
  for_each_seed(Seeds{.count = 15}, [&](uint64_t seed) {
    Group group(seed);
    int asked = 0, done = 0, failed = 0;
    auto put = [&](int i) {
      group.member(i).put(cat("k", ++asked), "v", [&](apply::Reply reply) {
        ++(reply.status.ok() ? done : failed);
        EXPECT_TRUE(reply.status.ok()) << reply.status << group.world().describe();
      });
    };
    for (int round = 0; round < 6; ++round) {
      const int from = group.leader(), to = (from + 1 + round % 2) % 3;
      std::optional<absl::Status> answer;
      group.node(from).hand_over_leadership(
          group.world().id(to), std::chrono::seconds(7),
          [&](absl::Status status) { answer = std::move(status); });
      for (int step = 0; !answer && step < 100'000; ++step) {
        if (step % 3 == 0 && asked - done - failed < 40) put(step / 3 % 3);
        group.world().step();
      }
      ASSERT_TRUE(answer.has_value());
      EXPECT_TRUE(answer->ok()) << *answer;
      EXPECT_TRUE(group.node(to).is_leader());
    }
    EXPECT_TRUE(group.run_until([&] { return done + failed == asked; }));
    EXPECT_EQ(failed, 0) << "of " << asked;
  });
}

TEST_F(MembershipTest, AHandOverToWhoIsNotThereIsGivenUp) {
  Group group(1);
  const int from = group.leader(), to = (from + 1) % 3;
  group.world().kill(to, false);
  EXPECT_EQ(group.hand_over(from, to), node::transfer_too_long());
  // And the leader goes on.
  EXPECT_TRUE(group.put(from, "k").ok());
  EXPECT_EQ(group.hand_over((from + 2) % 3, to), errors::NotLeader());
  EXPECT_TRUE(group.hand_over(from, from).ok());
}

// Raft takes one at a time; the others wait, wherever they are asked for.
TEST_F(MembershipTest, ChangesAtOnceAllGetTheirAnswers) {
  for_each_seed(Seeds{.count = 15}, [&](uint64_t seed) {
    Group group(seed);
    std::vector<absl::Status> answers;
    for (int round = 0; round < 3; ++round) {
      for (int i = 0; i < 3; ++i) {
        group.member(i).propose_change(
            add(some_member(10 * round + i, true)),
            [&](apply::Reply reply) { answers.push_back(std::move(reply.status)); });
      }
    }
    ASSERT_TRUE(group.run_until([&] { return answers.size() == 9; }));
    int made = 0;
    for (const absl::Status& answer : answers) {
      made += answer.ok();
      EXPECT_TRUE(answer.ok() || answer == errors::TooManyLearners()) << answer;
    }
    EXPECT_EQ(made, group.member(0).options().max_learners);
  });
}

TEST_F(MembershipTest, AMemberJoinsIsPromotedAndTheOldLeaderGoes) {
  for_each_seed(Seeds{.count = 10}, [&](uint64_t seed) {
    Group group(seed, seed % 2 == 0 ? Group::kShort : Group::kLong);
    for (int i = 0; i < 60; ++i) ASSERT_TRUE(group.put(i % 3, cat("k", i)).ok());
    const int old_leader = group.leader();
    const int fresh = group.world().add_place();
    membership::Member joiner = some_member(4, true);
    joiner.id = group.world().id(fresh);
    ASSERT_TRUE(group.change(old_leader, add(joiner)).ok());
    ASSERT_TRUE(group.world().start(fresh).ok());
    ASSERT_TRUE(group.run_until([&] { return group.node(fresh).is_published(); }));
    EXPECT_TRUE(group.node(fresh).state().is_learner);
    ASSERT_TRUE(group.change(fresh, promote(joiner.id)).ok());
    EXPECT_FALSE(group.node(fresh).state().is_learner);

    ASSERT_TRUE(group.change(fresh, remove(group.world().id(old_leader))).ok());
    EXPECT_TRUE(
        group.run_until([&] { return group.world().life(old_leader) == World::Life::kRemoved; }));
    const uint64_t gone = group.world().id(old_leader).value;
    ASSERT_TRUE(group.run_until([&] {
      const uint64_t leads = group.node(fresh).state().leader.load();
      return leads != 0 && leads != gone;
    }));
    EXPECT_TRUE(group.put(fresh, "after").ok());
    // It may not come back, nor may its id.
    membership::Member again = some_member(5, false);
    again.id = group.world().id(old_leader);
    EXPECT_EQ(group.change(fresh, add(again)), errors::MemberNotFound());
    EXPECT_EQ(group.node(fresh).members().view()->members.size(), 3u);
  });
}

// Of the entries that were on their way nobody knows; what was acknowledged before is there, also
// where the commit index that covers it is not.
TEST_F(MembershipTest, OneOfThreeGoesOnAloneWhenItIsMadeTo) {
  for_each_seed(Seeds{.count = 10}, [&](uint64_t seed) {
    Group group(seed);
    ASSERT_TRUE(group.put(0, "before").ok());
    const int last = group.leader();
    group.run_for(std::chrono::seconds(1));
    for (int i = 0; i < 3; ++i) {
      if (i != last) group.world().kill(i, true);
    }
    // It never gets a quorum.
    group.member(last).put("lost", "v", [](apply::Reply) {});
    group.run_for(std::chrono::milliseconds(200));
    group.world().kill(last, seed % 2 == 0);
    group.member(last).options().recovery.force_new_cluster = true;
    ASSERT_TRUE(group.world().start(last).ok());
    EXPECT_EQ(group.leader(), last);
    EXPECT_TRUE(group.put(last, "after").ok());
    EXPECT_EQ(group.node(last).members().view()->members.size(), 1u);
    std::optional<size_t> keys;
    group.member(last).read_all([&](absl::StatusOr<mvcc::RangeResult> found) {
      ASSERT_TRUE(found.ok());
      keys = found->kvs.size();
    });
    EXPECT_TRUE(group.run_until([&] { return keys.has_value(); }));
    EXPECT_TRUE(keys == 2u || keys == 3u) << *keys;
    // From then on it is a cluster like any other.
    group.world().kill(last, true);
    group.member(last).options().recovery.force_new_cluster = false;
    ASSERT_TRUE(group.world().start(last).ok());
    EXPECT_EQ(group.leader(), last);
    EXPECT_TRUE(group.put(last, "again").ok());
  });
}

TEST_F(MembershipTest, TheClusterSpeaksWhatItsOldestMemberSpeaks) {
  SeededRandom random(1);
  World world(random, 3, {});
  std::optional<membership::Version> theirs = membership::Version{3, 5, 17};
  for (int i = 0; i < 3; ++i) {
    world.member(i).prepare = [&, then = world.member(i).prepare](node::Node& node) {
      then(node);
      node.set_ask_versions(
          [&](auto members, auto done) { done(node::Versions::List(members.size(), theirs)); });
    };
    ASSERT_TRUE(world.start(i).ok());
  }
  auto version = [&] { return world.member(0).node().members().view()->cluster_version; };
  ASSERT_TRUE(world.run_until([&] { return version() == "3.5.0"; }, kPatience));
  // Somebody who does not answer holds it; then it rises, and not again when an older one comes.
  theirs = std::nullopt;
  world.run_until([] { return false; }, std::chrono::seconds(10));
  EXPECT_EQ(version(), "3.5.0");
  theirs = membership::Version{3, 7, 1};
  EXPECT_TRUE(world.run_until([&] { return version() == "3.7.0"; }, kPatience));
  theirs = membership::Version{3, 6, 4};
  world.run_until([] { return false; }, std::chrono::seconds(10));
  EXPECT_EQ(version(), "3.7.0");
  EXPECT_TRUE(world.verdict().ok()) << world.verdict().text();
}

}  // namespace
}  // namespace keelson::sim
