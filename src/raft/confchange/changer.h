// raft/confchange/changer.h
//
// From one configuration to the next (Raft thesis 4): simple changes of one voter, joint ones of
// many, and the way back from a ConfState. Pure functions; nothing here knows a log or a role.
// The texts of the errors are etcd-raft's.

#pragma once

#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "raft/conf_change.h"
#include "raft/tracker/config.h"
#include "raft/tracker/progress.h"

namespace keelson::raft::confchange {

struct Next {
  tracker::Config config;
  // Members whose tracking starts anew, even if they were members before (removed and added again
  // in one change).
  quorum::IdSet fresh;
};

// At most one voter more or less in total; learners at will. Not in a joint configuration.
absl::StatusOr<Next> simple(const tracker::Config& config,
                            std::span<const ConfChangeSingle> changes);

// (1 2 3) becomes (changed)&&(1 2 3): C_new,old of the thesis. Not in a joint configuration.
absl::StatusOr<Next> enter_joint(const tracker::Config& config, bool auto_leave,
                                 std::span<const ConfChangeSingle> changes);

// The incoming half alone decides from now on; held-back learners become learners.
absl::StatusOr<Next> leave_joint(const tracker::Config& config);

// Whichever of the three `change` asks for.
absl::StatusOr<Next> apply(const tracker::Config& config, const ConfChangeV2& change);

// The configuration that `state` describes. InvalidArgument if there is none, or if it would not
// come out as the same ConfState again.
absl::StatusOr<tracker::Config> restore(const ConfState& state);

// Brings the leader's progress in line: forgets who left, probes from `last_index` who came.
void update_progress(const Next& next, Index last_index, tracker::ProgressMap* progress);

}  // namespace keelson::raft::confchange
