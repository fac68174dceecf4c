// The arithmetic of quorums against its definition, on random groups.

#include "raft/quorum/quorum.h"

#include <gtest/gtest.h>

#include <map>

#include "base/random.h"
#include "base/test_seeds.h"

namespace keelson::raft::quorum {
namespace {

bool majority(const IdSet& voters, const std::map<MemberId, bool>& in_favour) {
  size_t count = 0;
  for (MemberId id : voters) {
    auto found = in_favour.find(id);
    if (found != in_favour.end() && found->second) ++count;
  }
  return 2 * count > voters.size() || voters.empty();
}

// Try every index from the top; both halves must reach it.
Index slow_committed(const Joint& voters, const std::map<MemberId, Index>& acked, Index top) {
  if (voters.incoming.empty() && voters.outgoing.empty()) return kInfinity;
  for (Index index = top; index > Index(0); index = index - 1) {
    std::map<MemberId, bool> reached;
    for (const auto& [id, at] : acked) reached[id] = at >= index;
    if (majority(voters.incoming, reached) && majority(voters.outgoing, reached)) return index;
  }
  return Index(0);
}

// What is decided whatever the silent voters say.
VoteResult slow_result(const Joint& voters, const std::map<MemberId, bool>& votes) {
  std::map<MemberId, bool> best = votes;
  for (MemberId id : voters.all()) best.try_emplace(id, true);
  const auto wins = [&voters](const std::map<MemberId, bool>& v) {
    return majority(voters.incoming, v) && majority(voters.outgoing, v);
  };
  if (wins(votes)) return VoteResult::kWon;
  return wins(best) ? VoteResult::kPending : VoteResult::kLost;
}

IdSet random_ids(Random& random) {
  IdSet ids;
  for (uint64_t n = random.below(10); n > 0; --n) ids.insert(MemberId(1 + random.below(12)));
  return ids;
}

TEST(QuorumTwin, CommittedIndexIsTheHighestThatAMajorityReaches) {
  for_each_seed(20, [](uint64_t seed) {
    SeededRandom random(seed);
    for (int round = 0; round < 1000; ++round) {
      const Joint voters{random_ids(random), random_ids(random)};
      std::map<MemberId, Index> acked;
      for (MemberId id : voters.all()) {
        if (random.below(4) > 0) acked[id] = Index(random.below(8));
      }
      const auto lookup = [&acked](MemberId id) -> std::optional<Index> {
        auto found = acked.find(id);
        return found == acked.end() ? std::nullopt : std::optional(found->second);
      };
      ASSERT_EQ(committed_index(voters, lookup), slow_committed(voters, acked, Index(8)))
          << to_string(voters);
    }
  });
}

TEST(QuorumTwin, AVoteIsDecidedWhenTheSilentCannotChangeIt) {
  for_each_seed(20, [](uint64_t seed) {
    SeededRandom random(seed);
    for (int round = 0; round < 1000; ++round) {
      const Joint voters{random_ids(random), random_ids(random)};
      std::map<MemberId, bool> votes;
      for (MemberId id : voters.all()) {
        if (random.below(3) > 0) votes[id] = random.below(2) == 0;
      }
      const auto lookup = [&votes](MemberId id) -> std::optional<bool> {
        auto found = votes.find(id);
        return found == votes.end() ? std::nullopt : std::optional(found->second);
      };
      ASSERT_EQ(vote_result(voters, lookup), slow_result(voters, votes)) << to_string(voters);
    }
  });
}

TEST(IdSet, IsSortedAndWithoutDuplicates) {
  IdSet ids{MemberId(3), MemberId(1), MemberId(3), MemberId(10)};
  EXPECT_EQ(to_string(ids), "(1 3 a)");
  ids.erase(MemberId(3));
  ids.erase(MemberId(4));
  ids.insert(MemberId(2));
  ids.insert(MemberId(2));
  EXPECT_EQ(to_string(ids), "(1 2 a)");
  EXPECT_EQ(to_string(kInfinity), "∞");
}

}  // namespace
}  // namespace keelson::raft::quorum
