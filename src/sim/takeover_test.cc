// A state that comes while a member ends, or before it leads; and a leader whose disk does not get
// on.

#include <gtest/gtest.h>

#include "base/quiet_log.h"
#include "base/test_seeds.h"
#include "sim/beginning.h"

namespace keelson::sim {
namespace {

using std::chrono::seconds;

class Takeover {
 public:
  explicit Takeover(uint64_t seed, int members = 3)
      : random_(seed), world_(random_, members, {}), clients_(world_) {}

  bool begins() { return sim::begins(world_, clients_); }
  World& world() { return world_; }
  node::TestMember& member(int i) { return world_.member(i); }
  node::MemberState& state(int i) { return member(i).node().state(); }

  bool until(const std::function<bool()>& done, Duration most = seconds(20)) {
    return world_.run_until(done, most);
  }
  // So much is written that whoever missed it needs a snapshot.
  bool write_much(int through) {
    for (int i = 0; i < 120; ++i) {
      bool done = false;
      clients_.put(through, [&] { done = true; });
      if (!until([&] { return done; })) return false;
    }
    return true;
  }
  bool put(int through) {
    bool done = false;
    clients_.put(through, [&] { done = true; });
    return until([&] { return done; });
  }
  // `to` leads, as everybody of `all` knows.
  bool hand_over(int from, int to, const std::vector<int>& all) {
    for (int attempt = 0; attempt < 5 && world_.leader() != to; ++attempt) {
      bool over = false;
      member(from).node().hand_over_leadership(world_.id(to), seconds(5),
                                               [&](const absl::Status&) { over = true; });
      if (!until([&] { return over; })) return false;
    }
    return until([&] {
      for (int i : all) {
        if (state(i).leader.load() != world_.id(to).value) return false;
      }
      return true;
    });
  }
  // The n-th that is not `i`, from 1 on.
  int other(int i, int n) const { return (i + n) % world_.size(); }

 private:
  SeededRandom random_;
  World world_;
  Clients clients_;
};

TEST(Takeover, AnotherLeadsWhenTheLeadersDiskStalls) {
  log::QuietLog quiet;
  for_each_seed(Seeds{.count = 20}, [](uint64_t seed) {
    Takeover story(seed);
    ASSERT_TRUE(story.begins());
    const int former = story.world().leader();
    auto& schedule = story.member(former).schedule;
    schedule.hold(schedule.log);
    const int other = story.other(former, 1);
    EXPECT_TRUE(story.put(other)) << "two disks are enough";
    EXPECT_TRUE(story.until([&] { return story.world().leader() != former; }, seconds(4)));
    EXPECT_TRUE(story.state(former).log_stalled);
    EXPECT_TRUE(story.until([&] {
      return story.state(former).leader.load() == story.world().id(story.world().leader()).value;
    }));
    EXPECT_TRUE(story.put(other));
    schedule.release();
    EXPECT_TRUE(story.until([&] {
      return !story.state(former).log_stalled &&
             story.state(former).applied.load() == story.state(other).applied.load();
    }));
    EXPECT_TRUE(story.world().verdict().ok()) << story.world().verdict().text();
  });
}

// What comes of a snapshot that becomes durable while the member ends is the next start's.
TEST(Takeover, ASnapshotThatIsDurableWhenAMemberEndsIsForTheNextStart) {
  log::QuietLog quiet;
  for_each_seed(Seeds{.count = 20}, [](uint64_t seed) {
    Takeover story(seed);
    ASSERT_TRUE(story.begins());
    const int leader = story.world().leader();
    const int late = story.other(leader, 1);
    story.world().kill(late, false);
    ASSERT_TRUE(story.write_much(leader));
    ASSERT_TRUE(story.world().start(late).ok());
    // Its log takes the snapshot, and does not come back with it before the member is told to end.
    const uint64_t before = story.world().snapshots_installed();
    ASSERT_TRUE(story.until([&] { return story.world().snapshots_installed() > before; }));
    node::TestMember& member = story.member(late);
    member.schedule.hold(member.schedule.log);
    const auto backend = member.node().backend();
    story.until([] { return false; }, std::chrono::milliseconds(300));
    ASSERT_EQ(member.node().backend(), backend);
    bool stopped = false;
    member.node().stop([&](const absl::Status& status) {
      EXPECT_TRUE(status.ok()) << status;
      stopped = true;
    });
    story.until([] { return false; }, std::chrono::milliseconds(300));
    member.schedule.release();
    ASSERT_TRUE(story.until([&] { return stopped; }));
    story.until([] { return false; }, std::chrono::milliseconds(300));
    EXPECT_EQ(member.node().backend(), backend) << "it was installed in a member that has ended";
    story.world().kill(late, false);
    ASSERT_TRUE(story.world().start(late).ok());
    EXPECT_TRUE(story.until(
        [&] { return story.state(late).applied.load() == story.state(leader).applied.load(); }));
    EXPECT_TRUE(story.world().verdict().ok()) << story.world().verdict().text();
  });
}

// A member that has a snapshot in its log, and not in its state yet, is elected, and has to send
// one: it has none to name until its own is installed.
TEST(Takeover, ALeaderWhoseOwnSnapshotWaitsSendsNoneYet) {
  log::QuietLog quiet;
  for_each_seed(Seeds{.count = 20}, [](uint64_t seed) {
    Takeover story(seed, 5);
    ASSERT_TRUE(story.begins());
    const int leader = story.world().leader();
    const int next = story.other(leader, 1), behind = story.other(leader, 2);
    story.world().kill(next, false);
    story.world().kill(behind, false);
    ASSERT_TRUE(story.write_much(leader));
    ASSERT_TRUE(story.world().start(next).ok());
    const uint64_t before = story.world().snapshots_installed();
    node::TestMember& member = story.member(next);
    ASSERT_TRUE(story.until([&] { return story.world().snapshots_installed() > before; }));
    member.schedule.hold(member.schedule.apply);
    const uint64_t held_at = story.state(next).applied.load();
    ASSERT_TRUE(story.put(leader));
    ASSERT_TRUE(story.hand_over(leader, next, {leader, next}));
    ASSERT_TRUE(story.world().start(behind).ok());
    story.until([] { return false; }, seconds(3));
    EXPECT_TRUE(story.world().serves(next));
    EXPECT_EQ(story.state(next).applied.load(), held_at);
    member.schedule.release();
    EXPECT_TRUE(story.until([&] {
      return story.state(behind).applied.load() == story.state(next).applied.load() &&
             story.state(next).applied.load() > held_at;
    }));
    EXPECT_TRUE(story.world().verdict().ok()) << story.world().verdict().text();
  });
}

// The one voter that is left does not ask the leader that was removed, which does not ask it
// either.
TEST(Takeover, ALeaderThatWasRemovedServesNoReadsOfItsOwn) {
  log::QuietLog quiet;
  for_each_seed(Seeds{.count = 20}, [](uint64_t seed) {
    Takeover story(seed, 2);
    for (int i = 0; i < 2; ++i) {
      // It is told to end, and takes its time.
      story.member(i).prepare = [then = story.member(i).prepare](node::Node& node) {
        then(node);
        node.set_removed([] {});
      };
    }
    ASSERT_TRUE(story.begins());
    const int former = story.world().leader(), left = story.other(former, 1);
    story.member(left).propose_change(
        {.type = raft::ConfChangeType::kRemoveNode, .node_id = story.world().id(former)},
        [](const apply::Reply&) {});
    ASSERT_TRUE(story.until([&] {
      for (int i = 0; i < 2; ++i) {
        if (story.member(i).node().members().view()->members.size() != 1) return false;
      }
      return true;
    }));
    story.world().split({former});
    story.world().pause(former);
    ASSERT_TRUE(story.until([&] { return story.member(left).node().is_leader(); }));
    bool done = false;
    story.member(left).put("new", "v", [&](const apply::Reply& r) { done = r.status.ok(); });
    ASSERT_TRUE(story.until([&] { return done; }));
    story.world().resume(former);
    bool stale = false;
    story.member(former).read_all([&](absl::StatusOr<mvcc::RangeResult> found) {
      stale |= found.ok() && found->revision < story.member(left).node().store().revision();
    });
    story.until([] { return false; }, seconds(5));
    EXPECT_FALSE(stale) << "seed " << seed;
    EXPECT_TRUE(story.world().verdict().ok()) << story.world().verdict().text();
  });
}

}  // namespace
}  // namespace keelson::sim
