// raft/types.h
//
// The values that raft exchanges with its driver and its peers: etcd's raftpb, field for field and
// number for number (source: raftpb/raft.proto of etcd-io/raft v3.7). Zero stands for "unset" where
// raftpb has optional numbers, as its getters do.
//
// Threads: plain values.

#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "raft/entries.h"

namespace keelson::raft {

inline constexpr MemberId kNobody{0};
// Local targets of MsgStorageAppend and MsgStorageApply; no member may have these ids.
inline constexpr MemberId kLocalAppendThread{std::numeric_limits<uint64_t>::max()};
inline constexpr MemberId kLocalApplyThread{std::numeric_limits<uint64_t>::max() - 1};

inline constexpr uint64_t kNoLimit = std::numeric_limits<uint64_t>::max();

// What must be on stable storage before anything that depends on it is said.
struct HardState {
  Term term{};
  MemberId vote{};
  Index commit{};

  bool empty() const { return *this == HardState{}; }
  friend bool operator==(const HardState&, const HardState&) = default;
};

// The configuration as snapshots and storage carry it. Each list is sorted when raft made it.
struct ConfState {
  std::vector<MemberId> voters{};
  std::vector<MemberId> learners{};
  std::vector<MemberId> voters_outgoing{};  // empty unless the configuration is joint
  std::vector<MemberId> learners_next{};    // subset of voters_outgoing
  bool auto_leave = false;

  friend bool operator==(const ConfState&, const ConfState&) = default;
};

// Whether both describe the same configuration, whatever the order of the lists.
bool equivalent(const ConfState& a, const ConfState& b);

struct SnapshotMetadata {
  ConfState conf_state{};
  Index index{};
  Term term{};

  friend bool operator==(const SnapshotMetadata&, const SnapshotMetadata&) = default;
};

struct Snapshot {
  Bytes data{};
  SnapshotMetadata metadata{};

  bool empty() const { return metadata.index == Index(0); }
  friend bool operator==(const Snapshot&, const Snapshot&) = default;
};

// Shared because a snapshot is immutable and stands in several messages and the log at once; null
// is "none".
using SnapshotPtr = std::shared_ptr<const Snapshot>;
inline bool is_empty(const SnapshotPtr& snapshot) { return !snapshot || snapshot->empty(); }

// etcd's numbers (raftpb.MessageType).
enum class MessageType : uint8_t {
  kMsgHup = 0,
  kMsgBeat = 1,
  kMsgProp = 2,
  kMsgApp = 3,
  kMsgAppResp = 4,
  kMsgVote = 5,
  kMsgVoteResp = 6,
  kMsgSnap = 7,
  kMsgHeartbeat = 8,
  kMsgHeartbeatResp = 9,
  kMsgUnreachable = 10,
  kMsgSnapStatus = 11,
  kMsgCheckQuorum = 12,
  kMsgTransferLeader = 13,
  kMsgTimeoutNow = 14,
  kMsgReadIndex = 15,
  kMsgReadIndexResp = 16,
  kMsgPreVote = 17,
  kMsgPreVoteResp = 18,
  kMsgStorageAppend = 19,
  kMsgStorageAppendResp = 20,
  kMsgStorageApply = 21,
  kMsgStorageApplyResp = 22,
  kMsgForgetLeader = 23,
};
inline constexpr int kMessageTypes = 24;

struct Message {
  MessageType type = MessageType::kMsgHup;
  bool reject = false;
  MemberId to{};
  MemberId from{};
  // 0 for messages that are local or are forwarded to the leader (MsgProp, MsgReadIndex).
  Term term{};
  // The term of the entry at `index`: the one before `entries` in MsgApp, the candidate's last in
  // MsgVote, the hint's in a rejecting MsgAppResp.
  Term log_term{};
  Index index{};
  Entries entries{};
  Index commit{};
  // Only in MsgStorageAppend: term, vote and commit are all set (a HardState to persist) or none.
  MemberId vote{};
  SnapshotPtr snapshot{};
  Index reject_hint{};
  Bytes context{};
  // Only in MsgStorageAppend and MsgStorageApply: to be delivered, in this order, when the work of
  // the message is done (durable for append). They may target this member or others.
  std::vector<Message> responses{};

  // The HardState that a MsgStorageAppend carries; empty() if none.
  HardState hard_state() const { return {term, vote, commit}; }
};

// Messages that only this member's own driver may step.
bool is_local_message(MessageType type);
// Messages that answer; a sender outside the configuration is refused.
bool is_response_message(MessageType type);
// Messages that some term's member sends as such: one without a term is none.
bool is_of_a_term(MessageType type);
inline bool is_local_target(MemberId id) {
  return id == kLocalAppendThread || id == kLocalApplyThread;
}

// etcd's numbers (raft.StateType).
enum class StateType : uint8_t { kFollower = 0, kCandidate = 1, kLeader = 2, kPreCandidate = 3 };

// Volatile state, for observers.
struct SoftState {
  MemberId lead{};
  StateType state = StateType::kFollower;

  friend bool operator==(const SoftState&, const SoftState&) = default;
};

// The answer to read_index(): once applied >= index, reads asked before are linearizable.
struct ReadState {
  Index index{};
  Bytes request_ctx{};
};

// "MsgApp", "StateLeader", "EntryNormal": etcd's names.
std::string_view name_of(MessageType type);
std::string_view name_of(StateType state);
std::string_view name_of(EntryType type);

}  // namespace keelson::raft
