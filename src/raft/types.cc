#include "raft/types.h"

#include <algorithm>
#include <array>

namespace keelson::raft {
namespace {

std::vector<MemberId> sorted(std::vector<MemberId> ids) {
  std::sort(ids.begin(), ids.end());
  return ids;
}

struct MessageTraits {
  std::string_view name;
  bool local = false;
  bool response = false;
  bool of_term = false;
};

constexpr std::array<MessageTraits, kMessageTypes> kTraits = {{
    {.name = "MsgHup", .local = true},
    {.name = "MsgBeat", .local = true},
    {.name = "MsgProp"},
    {.name = "MsgApp", .of_term = true},
    {.name = "MsgAppResp", .response = true, .of_term = true},
    {.name = "MsgVote", .of_term = true},
    {.name = "MsgVoteResp", .response = true, .of_term = true},
    {.name = "MsgSnap", .of_term = true},
    {.name = "MsgHeartbeat", .of_term = true},
    {.name = "MsgHeartbeatResp", .response = true, .of_term = true},
    {.name = "MsgUnreachable", .local = true, .response = true},
    {.name = "MsgSnapStatus", .local = true},
    {.name = "MsgCheckQuorum", .local = true},
    {.name = "MsgTransferLeader"},
    {.name = "MsgTimeoutNow", .of_term = true},
    {.name = "MsgReadIndex"},
    {.name = "MsgReadIndexResp", .response = true, .of_term = true},
    {.name = "MsgPreVote", .of_term = true},
    {.name = "MsgPreVoteResp", .response = true, .of_term = true},
    {.name = "MsgStorageAppend", .local = true},
    {.name = "MsgStorageAppendResp", .local = true, .response = true},
    {.name = "MsgStorageApply", .local = true},
    {.name = "MsgStorageApplyResp", .local = true, .response = true},
    {.name = "MsgForgetLeader"},
}};

// A decoder may hand us a number from a newer peer.
constexpr MessageTraits kUnknown = {.name = "MsgUnknown"};

const MessageTraits& traits(MessageType type) {
  const auto i = static_cast<size_t>(type);
  return i < kTraits.size() ? kTraits[i] : kUnknown;
}

}  // namespace

bool equivalent(const ConfState& a, const ConfState& b) {
  return sorted(a.voters) == sorted(b.voters) && sorted(a.learners) == sorted(b.learners) &&
         sorted(a.voters_outgoing) == sorted(b.voters_outgoing) &&
         sorted(a.learners_next) == sorted(b.learners_next) && a.auto_leave == b.auto_leave;
}

bool is_local_message(MessageType type) { return traits(type).local; }
bool is_response_message(MessageType type) { return traits(type).response; }
bool is_of_a_term(MessageType type) { return traits(type).of_term; }
std::string_view name_of(MessageType type) { return traits(type).name; }

std::string_view name_of(StateType state) {
  switch (state) {
    case StateType::kFollower:
      return "StateFollower";
    case StateType::kCandidate:
      return "StateCandidate";
    case StateType::kLeader:
      return "StateLeader";
    case StateType::kPreCandidate:
      return "StatePreCandidate";
  }
  return "StateUnknown";
}

std::string_view name_of(EntryType type) {
  switch (type) {
    case EntryType::kNormal:
      return "EntryNormal";
    case EntryType::kConfChange:
      return "EntryConfChange";
    case EntryType::kConfChangeV2:
      return "EntryConfChangeV2";
  }
  return "EntryUnknown";
}

}  // namespace keelson::raft
