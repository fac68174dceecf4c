// raft/tracker/config.h
//
// Config: who votes, who learns. Every member holds it, whatever its role.

#pragma once

#include <string>

#include "raft/quorum/quorum.h"
#include "raft/types.h"

namespace keelson::raft::tracker {

struct Config {
  quorum::Joint voters;
  // Leave the joint configuration as soon as that is possible. Invariant: only if joint.
  bool auto_leave = false;
  // Invariant: disjoint from both halves of voters.
  quorum::IdSet learners;
  // Voters of the outgoing half that become learners when it is left; they cannot be learners
  // earlier, or they would be voter and learner at once. Invariant: subset of voters.outgoing,
  // disjoint from learners; so empty unless joint.
  quorum::IdSet learners_next;

  // Whether raft tracks `id` at all: voter or learner.
  bool contains(MemberId id) const { return voters.contains(id) || learners.contains(id); }
  quorum::IdSet members() const;
  // Exactly one voter, not joint.
  bool is_singleton() const { return voters.incoming.size() == 1 && !voters.is_joint(); }

  friend bool operator==(const Config&, const Config&) = default;
};

ConfState conf_state(const Config& config);
// "voters=(1 2)&&(1) learners=(3) learners_next=(4) autoleave".
std::string to_string(const Config& config);

}  // namespace keelson::raft::tracker
