// raft/plant.h
//
// Bugs that the simulator's teeth plant, one at a time, to show that its checks find them
// (docs/raft-teeth.md). Only a second copy of this library, which nothing but raft_sim_planted
// links, is compiled with KEELSON_RAFT_PLANT; everywhere else planted() is constexpr false and the
// hooks cost nothing.

#pragma once

#include <cstdint>

namespace keelson::raft {

enum class Plant : uint8_t {
  kNone,
  // In the simulated driver; either program can plant these.
  kVoteNotPersisted,
  kAckBeforeDurable,
  kConfChangeTwice,
  kTruncationNotDurable,
  // In the core.
  kVoteForShorterLog,
  kVoteTwice,
  kCommitOldTerm,
  kTruncatePastCommit,
  kStaleAppend,
  kAppendUnmatched,
  kJointHalf,
  kReadWithoutQuorum,
  kReadBeforeFirstCommit,
  kLapsedLease,
  kSnapshotRegresses,
  kLearnerCounted,
  kHeartbeatCommit,
  kOldStorageAnswer,
  kConfChangesOverlap,
};

#ifdef KEELSON_RAFT_PLANT
// Set once, before any member starts.
inline Plant planted_bug = Plant::kNone;
inline bool planted(Plant bug) { return planted_bug == bug; }
#else
constexpr bool planted(Plant) { return false; }
#endif

}  // namespace keelson::raft
