// What no member sends does not reach raft's core.

#include "node/received.h"

#include <gtest/gtest.h>

namespace keelson::node {
namespace {

using raft::EntryType;
using raft::MessageType;

constexpr MemberId kSelf{1}, kPeer{2};

raft::Message proposal(EntryType type, std::string_view data) {
  raft::Message message{.type = MessageType::kMsgProp, .to = kSelf, .from = kPeer};
  raft::Entry entry{.type = type, .type_set = true};
  entry.data = Bytes::copy(data);
  message.entries = raft::Entries{std::move(entry)};
  return message;
}

TEST(ReceivedTest, WhatMembersSendPasses) {
  for (int i = 0; i < raft::kMessageTypes; ++i) {
    raft::Message message{.type = static_cast<MessageType>(i), .to = kSelf, .from = kPeer};
    if (message.type == MessageType::kMsgSnap || message.type == MessageType::kMsgProp) continue;
    EXPECT_EQ(reason_to_drop(message, kSelf), "") << i;
    // A question to the leader of a term has it, too (consensus.cc).
    message.term = Term(3);
    EXPECT_EQ(reason_to_drop(message, kSelf), "") << i;
  }
  EXPECT_EQ(reason_to_drop(proposal(EntryType::kNormal, "anything"), kSelf), "");
  // Adds member 3, in both forms; and leaves a joint configuration.
  EXPECT_EQ(reason_to_drop(proposal(EntryType::kConfChange, "\x18\x03"), kSelf), "");
  EXPECT_EQ(reason_to_drop(proposal(EntryType::kConfChangeV2, "\x12\x02\x10\x03"), kSelf), "");
  EXPECT_EQ(reason_to_drop(proposal(EntryType::kConfChangeV2, ""), kSelf), "");
  // Forwarded to a member that leads by now, by one that led before.
  raft::Message home = proposal(EntryType::kNormal, "anything");
  home.from = kSelf;
  EXPECT_EQ(reason_to_drop(home, kSelf), "");
}

TEST(ReceivedTest, WhatNoMemberSendsDoesNot) {
  raft::Message nothing{.type = MessageType::kMsgProp, .to = kSelf, .from = kPeer};
  EXPECT_EQ(reason_to_drop(nothing, kSelf), "it proposes nothing");
  for (EntryType type : {EntryType::kConfChange, EntryType::kConfChangeV2, EntryType(7)}) {
    EXPECT_EQ(reason_to_drop(proposal(type, "\x12\xff"), kSelf),
              "it proposes a membership change that cannot be read");
  }
  // One among others spoils them all.
  raft::Message several = proposal(EntryType::kNormal, "anything");
  raft::Entry first = several.entries[0];
  several.entries = raft::Entries{std::move(first), raft::Entry{.type = EntryType(7)}};
  EXPECT_NE(reason_to_drop(several, kSelf), "");
  raft::Message of_a_term = proposal(EntryType::kNormal, "anything");
  of_a_term.term = Term(UINT64_MAX);
  EXPECT_EQ(reason_to_drop(of_a_term, kSelf), "a proposal has no term");
  for (MessageType type : {MessageType::kMsgAppResp, MessageType::kMsgVoteResp}) {
    raft::Message own{.type = type, .to = kSelf, .from = kSelf, .term = Term(3)};
    EXPECT_EQ(reason_to_drop(own, kSelf), "it is in this member's own name");
    own.from = raft::kLocalAppendThread;
    EXPECT_EQ(reason_to_drop(own, kSelf), "it is in this member's own name");
  }
  raft::Message snapshot{.type = MessageType::kMsgSnap, .to = kSelf, .from = kPeer};
  EXPECT_EQ(reason_to_drop(snapshot, kSelf), "a snapshot came without its state");
}

}  // namespace
}  // namespace keelson::node
