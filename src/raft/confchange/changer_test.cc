// Changes of configuration against a model that knows each member's standing only.

#include "raft/confchange/changer.h"

#include <gtest/gtest.h>

#include <map>

#include "base/random.h"
#include "base/test_seeds.h"
#include "base/text.h"

namespace keelson::raft::confchange {
namespace {

// One member: in which halves it votes, whether it learns, or will.
struct Standing {
  bool incoming = false;
  bool outgoing = false;
  bool learner = false;
  bool learner_next = false;
};

struct Model {
  std::map<uint64_t, Standing> members;
  bool joint = false;
  bool auto_leave = false;

  // Follows the rules of the thesis member by member, with no regard to how a set is kept.
  void change(const ConfChangeSingle& change) {
    if (change.node_id == kNobody) return;
    Standing& s = members[change.node_id.value];
    switch (change.type) {
      case ConfChangeType::kAddNode:
        s = {.incoming = true, .outgoing = s.outgoing};
        break;
      case ConfChangeType::kAddLearnerNode:
        s = {.outgoing = s.outgoing, .learner = !s.outgoing, .learner_next = s.outgoing};
        break;
      case ConfChangeType::kRemoveNode:
        s = {.outgoing = s.outgoing};
        break;
      case ConfChangeType::kUpdateNode:
        break;
    }
  }

  void enter(bool leave_automatically) {
    for (auto& [unused, s] : members) s.outgoing = s.incoming;
    joint = true;
    auto_leave = leave_automatically;
  }

  void leave() {
    for (auto& [unused, s] : members) {
      s = {.incoming = s.incoming, .learner = s.learner || s.learner_next};
    }
    joint = auto_leave = false;
  }

  size_t voters() const {
    size_t count = 0;
    for (const auto& [unused, s] : members) count += s.incoming;
    return count;
  }

  tracker::Config config() const {
    tracker::Config config;
    config.auto_leave = auto_leave;
    for (const auto& [id, s] : members) {
      if (s.incoming) config.voters.incoming.insert(MemberId(id));
      if (s.outgoing) config.voters.outgoing.insert(MemberId(id));
      if (s.learner) config.learners.insert(MemberId(id));
      if (s.learner_next) config.learners_next.insert(MemberId(id));
    }
    return config;
  }
};

std::vector<ConfChangeSingle> random_changes(Random& random) {
  std::vector<ConfChangeSingle> changes;
  for (uint64_t n = random.below(5); n > 0; --n) {
    changes.push_back({static_cast<ConfChangeType>(random.below(4)), MemberId(random.below(7))});
  }
  return changes;
}

size_t voters_changed(const Model& a, const Model& b) {
  size_t count = 0;
  for (uint64_t id = 1; id < 7; ++id) {
    auto votes = [id](const Model& m) {
      auto found = m.members.find(id);
      return found != m.members.end() && found->second.incoming;
    };
    count += votes(a) != votes(b);
  }
  return count;
}

// What the change should give; none if it must be refused.
std::optional<Model> expected(const Model& before, const ConfChangeV2& change) {
  Model after = before;
  if (change.leaves_joint()) {
    if (!before.joint) return std::nullopt;
    after.leave();
    return after;
  }
  if (before.joint) return std::nullopt;
  const bool joint = change.enters_joint().has_value();
  if (joint) {
    if (before.voters() == 0) return std::nullopt;
    after.enter(change.enters_joint()->auto_leave);
  }
  for (const ConfChangeSingle& single : change.changes) after.change(single);
  if (after.voters() == 0) return std::nullopt;
  if (!joint && voters_changed(before, after) > 1) return std::nullopt;
  return after;
}

TEST(ChangerTwin, FollowsTheModel) {
  int taken = 0;
  for_each_seed(20, [&taken](uint64_t seed) {
    SeededRandom random(seed);
    for (int round = 0; round < 25; ++round) {
      Model model;
      tracker::Config config;
      for (int step = 0; step < 40; ++step) {
        ConfChangeV2 change{.transition = static_cast<ConfChangeTransition>(random.below(3)),
                            .changes = random_changes(random)};
        if (model.joint && random.below(2) == 0) change = {};
        const std::optional<Model> wanted = expected(model, change);
        absl::StatusOr<Next> next = apply(config, change);
        ASSERT_EQ(next.ok(), wanted.has_value())
            << to_string(change.changes) << " on " << tracker::to_string(config) << ": "
            << next.status();
        if (!wanted) continue;
        ++taken;
        ASSERT_EQ(next->config, wanted->config())
            << to_string(change.changes) << " on " << tracker::to_string(config);
        model = *wanted;
        config = next->config;
        // What a snapshot says of it is enough to rebuild it.
        absl::StatusOr<tracker::Config> again = restore(tracker::conf_state(config));
        ASSERT_TRUE(again.ok()) << again.status();
        ASSERT_EQ(*again, config);
      }
    }
  });
  if (!seeds_are_the_usual()) return;
  EXPECT_GT(taken, 1000);
}

TEST(ChangerTwin, ProgressFollowsTheConfiguration) {
  for_each_seed(20, [](uint64_t seed) {
    SeededRandom random(seed);
    for (int round = 0; round < 25; ++round) {
      tracker::Config config;
      tracker::ProgressMap progress;
      for (int step = 0; step < 30; ++step) {
        ConfChangeV2 change{.transition = static_cast<ConfChangeTransition>(random.below(3)),
                            .changes = random_changes(random)};
        if (config.voters.is_joint()) change = {};
        absl::StatusOr<Next> next = apply(config, change);
        if (!next.ok()) continue;
        update_progress(*next, Index(step), &progress);
        config = next->config;
        ASSERT_EQ(progress.size(), config.members().size());
        for (const auto& [id, one] : progress) {
          ASSERT_TRUE(config.contains(id));
          ASSERT_EQ(one.is_learner(), config.learners.contains(id));
          if (!next->fresh.contains(id)) continue;
          ASSERT_EQ(one.next(), Index(std::max(step, 1)));
        }
      }
    }
  });
}

TEST(Restore, RefusesWhatIsNoConfiguration) {
  EXPECT_FALSE(restore({.learners = {MemberId(1)}}).ok());
  EXPECT_FALSE(restore({.voters = {MemberId(1), MemberId(1)}}).ok());
  EXPECT_FALSE(restore({.voters = {MemberId(1)}, .learners_next = {MemberId(2)}}).ok());
  EXPECT_FALSE(restore({.voters = {MemberId(1)}, .learners = {MemberId(1)}}).ok());
  EXPECT_TRUE(restore({}).ok());
}

}  // namespace
}  // namespace keelson::raft::confchange
