// raft/quorum/quorum.h
//
// The arithmetic of majorities: which index is committed, how a vote stands; for one majority and
// for two at once (joint consensus, Raft thesis 4.3). Pure functions of small sorted sets.

#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "raft/plant.h"

namespace keelson::raft::quorum {

// A set of members, sorted. Voters of a majority, or learners.
class IdSet {
 public:
  IdSet() = default;
  IdSet(std::initializer_list<MemberId> ids);
  explicit IdSet(const std::vector<MemberId>& ids);

  bool contains(MemberId id) const { return std::binary_search(ids_.begin(), ids_.end(), id); }
  void insert(MemberId id);
  void erase(MemberId id);
  void clear() { ids_.clear(); }
  size_t size() const { return ids_.size(); }
  bool empty() const { return ids_.empty(); }
  auto begin() const { return ids_.begin(); }
  auto end() const { return ids_.end(); }
  const std::vector<MemberId>& sorted() const { return ids_; }

  friend bool operator==(const IdSet&, const IdSet&) = default;

 private:
  std::vector<MemberId> ids_;  // strictly increasing
};

// "(1 2 a)", members in hexadecimal.
std::string to_string(const IdSet& ids);

// The committed index of an empty majority: it never holds the other half of a joint one back.
inline constexpr Index kInfinity{std::numeric_limits<uint64_t>::max()};
std::string to_string(Index index);  // "∞" for kInfinity

enum class VoteResult : uint8_t { kPending = 1, kLost = 2, kWon = 3 };
std::string_view name_of(VoteResult result);  // "VotePending", …

// The highest index that a majority of `voters` has acknowledged; acked(id) is the
// std::optional<Index> of one voter. kInfinity for no voters.
template <typename Acked>
Index committed_index(const IdSet& voters, const Acked& acked) {
  const size_t n = voters.size();
  if (n == 0) return kInfinity;
  std::array<Index, 7> few;  // groups of more than seven voters are rare and may allocate
  std::vector<Index> many;
  Index* indexes = few.data();
  if (n > few.size()) {
    many.resize(n);
    indexes = many.data();
  }
  size_t i = 0;
  for (MemberId id : voters) indexes[i++] = acked(id).value_or(Index(0));
  // Of n sorted values, the one that n/2+1 of them reach.
  Index* wanted = indexes + (n - (n / 2 + 1));
  std::nth_element(indexes, wanted, indexes + n);
  return *wanted;
}

// How a vote stands; vote(id) is the std::optional<bool> of one voter. No voters: won.
template <typename Vote>
VoteResult vote_result(const IdSet& voters, const Vote& vote) {
  if (voters.empty()) return VoteResult::kWon;
  size_t yes = 0;
  size_t missing = 0;
  for (MemberId id : voters) {
    std::optional<bool> v = vote(id);
    if (!v) {
      ++missing;
    } else if (*v) {
      ++yes;
    }
  }
  const size_t quorum = voters.size() / 2 + 1;
  if (yes >= quorum) return VoteResult::kWon;
  return yes + missing >= quorum ? VoteResult::kPending : VoteResult::kLost;
}

// Two majorities that must both agree; `outgoing` is empty unless the configuration is joint.
struct Joint {
  IdSet incoming;
  IdSet outgoing;

  bool is_joint() const { return !outgoing.empty(); }
  bool contains(MemberId id) const { return incoming.contains(id) || outgoing.contains(id); }
  IdSet all() const;

  friend bool operator==(const Joint&, const Joint&) = default;
};

// "(1 2 3)" or "(1 2 3)&&(2 3 4)".
std::string to_string(const Joint& voters);

template <typename Acked>
Index committed_index(const Joint& voters, const Acked& acked) {
  const Index incoming = committed_index(voters.incoming, acked);
  if (planted(Plant::kJointHalf)) return incoming;
  return std::min(incoming, committed_index(voters.outgoing, acked));
}

template <typename Vote>
VoteResult vote_result(const Joint& voters, const Vote& vote) {
  const VoteResult a = vote_result(voters.incoming, vote);
  const VoteResult b = planted(Plant::kJointHalf) ? a : vote_result(voters.outgoing, vote);
  if (a == b) return a;
  if (a == VoteResult::kLost || b == VoteResult::kLost) return VoteResult::kLost;
  return VoteResult::kPending;
}

}  // namespace keelson::raft::quorum
