#include "raft/sim/plants.h"

namespace keelson::raft::sim {
namespace {

constexpr PlantInfo kPlants[] = {
    {Plant::kVoteNotPersisted, "vote-not-persisted", "the disk forgets whom the member voted for",
     false},
    {Plant::kAckBeforeDurable, "ack-before-durable",
     "appends and votes are answered before they are durable", false},
    {Plant::kConfChangeTwice, "conf-change-twice", "each configuration change is applied twice",
     false},
    {Plant::kTruncationNotDurable, "truncation-not-durable",
     "a write that shortens the log is lost in a crash though acknowledged", false},
    {Plant::kVoteForShorterLog, "vote-for-shorter-log",
     "votes are granted without comparing the logs (5.4.1)", true},
    {Plant::kVoteTwice, "vote-twice", "a second candidate of a term gets a vote too (5.2)", true},
    {Plant::kCommitOldTerm, "commit-old-term",
     "entries of earlier terms are committed by counting (5.4.2)", true},
    {Plant::kTruncatePastCommit, "truncate-past-commit",
     "an append cuts the log where it begins, committed or not", true},
    {Plant::kStaleAppend, "stale-append", "appends of an earlier term's leader are taken (5.1)",
     true},
    {Plant::kAppendUnmatched, "append-unmatched",
     "the entry before the new ones is not compared (5.3)", true},
    {Plant::kJointHalf, "joint-half", "a joint configuration decides by its incoming half alone",
     true},
    {Plant::kReadWithoutQuorum, "read-without-quorum",
     "a leader answers reads without confirming that it still leads", true},
    {Plant::kReadBeforeFirstCommit, "read-before-first-commit",
     "a new leader answers reads before it committed in its term", true},
    {Plant::kLapsedLease, "lapsed-lease", "a leader that lost its quorum goes on answering reads",
     true},
    {Plant::kSnapshotRegresses, "snapshot-regresses",
     "a snapshot behind the commit index is restored", true},
    {Plant::kLearnerCounted, "learner-counted", "learners count towards the commit quorum", true},
    {Plant::kHeartbeatCommit, "heartbeat-commit",
     "heartbeats announce the commit index beyond what the follower is known to hold", true},
    {Plant::kOldStorageAnswer, "old-storage-answer",
     "a write acknowledged in an earlier term counts as stable (ABA)", true},
    {Plant::kConfChangesOverlap, "conf-changes-overlap",
     "a change is proposed while another is not applied", true},
};

}  // namespace

std::span<const PlantInfo> all_plants() { return kPlants; }

const PlantInfo* find_plant(std::string_view name) {
  for (const PlantInfo& plant : kPlants) {
    if (plant.name == name) return &plant;
  }
  return nullptr;
}

}  // namespace keelson::raft::sim
