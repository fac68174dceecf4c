// raft/role.h
//
// What a member remembers because of the role it is in, and forgets on leaving it. One of these is
// in Core::role at any time:
//
//                     timeout, pre-vote             majority
//   Follower ──────────────► PreCandidate ──────────────► Candidate ──────► Leader
//      │  timeout, no pre-vote; MsgTimeoutNow                 ▲       majority
//      └──────────────────────────────────────────────────────┘
//   any ──► Follower: a higher term, a leader of this term, a lost vote, a lost quorum, removal

#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "raft/read_only.h"
#include "raft/tracker/progress.h"
#include "raft/types.h"

namespace keelson::raft {

struct Follower {
  MemberId lead{};  // kNobody if unknown
};

// The votes heard so far in one campaign; the first of each member counts.
class Votes {
 public:
  void record(MemberId id, bool granted) {
    if (!of(id)) votes_.emplace_back(id, granted);
  }
  std::optional<bool> of(MemberId id) const {
    for (const auto& [member, granted] : votes_) {
      if (member == id) return granted;
    }
    return std::nullopt;
  }

 private:
  std::vector<std::pair<MemberId, bool>> votes_;
};

// Asks whether an election could be won, without disturbing the term (Raft thesis 9.6).
struct PreCandidate {
  Votes votes;
};

struct Candidate {
  Votes votes;
};

struct Leader {
  // Sorted by id; one per member of the configuration.
  tracker::ProgressMap progress;
  // Who shall lead next; kNobody if no transfer is under way (Raft thesis 3.10).
  MemberId transferee{};
  // No configuration change in our log lies behind this index unless it is applied; a new one may
  // be proposed once applied >= pending_conf_index (one change at a time, Raft thesis 4.1). May lie
  // past the last index: a proposal that was dropped for its size has moved it too.
  Index pending_conf_index{};
  // Payload bytes proposed in this term and not applied; may be too low, never too high.
  uint64_t uncommitted_size = 0;
  ReadOnly reads;
  // Ticks since the last heartbeat. 0 <= heartbeat_elapsed < heartbeat_tick between ticks.
  int heartbeat_elapsed = 0;
};

using Role = std::variant<Follower, PreCandidate, Candidate, Leader>;

}  // namespace keelson::raft
