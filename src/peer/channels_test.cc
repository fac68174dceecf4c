// Which way each kind of message goes, and what a full outbox drops.

#include "peer/channels.h"

#include <gtest/gtest.h>

#include "peer/test_messages.h"

namespace keelson::peer {
namespace {

using raft::MessageType;

raft::Message message(MessageType type, uint64_t index = 0) {
  return {.type = type, .to = MemberId(2), .from = MemberId(1), .index = Index(index)};
}

TEST(Channel, ByKindAndOpenStreams) {
  const OpenStreams both{.append = true, .message = true};
  for (int n = 0; n < raft::kMessageTypes; ++n) {
    const raft::Message m = message(static_cast<MessageType>(n));
    const bool app = m.type == MessageType::kMsgApp, snap = m.type == MessageType::kMsgSnap;
    const Channel alone = snap ? Channel::kSnapshot : Channel::kPipeline;
    EXPECT_EQ(channel_for(m, {}), alone) << n;
    EXPECT_EQ(channel_for(m, {.append = true}), app ? Channel::kAppendStream : alone) << n;
    const Channel stream = snap ? Channel::kSnapshot : Channel::kMessageStream;
    EXPECT_EQ(channel_for(m, {.message = true}), stream) << n;
    EXPECT_EQ(channel_for(m, both), app ? Channel::kAppendStream : stream) << n;
  }
  raft::Message nowhere = message(MessageType::kMsgApp);
  nowhere.to = raft::kNobody;
  EXPECT_EQ(channel_for(nowhere, both), Channel::kNone);
}

TEST(Channel, WhatRaftIsToldOfALoss) {
  const LossReport app = report_loss(message(MessageType::kMsgApp), Channel::kAppendStream);
  EXPECT_TRUE(app.unreachable);
  EXPECT_FALSE(app.snapshot_failed);
  const LossReport snap = report_loss(message(MessageType::kMsgSnap), Channel::kSnapshot);
  EXPECT_TRUE(snap.unreachable);
  EXPECT_TRUE(snap.snapshot_failed);
  EXPECT_FALSE(report_loss(message(MessageType::kMsgApp), Channel::kNone).unreachable);
}

TEST(Outbox, DropsTheNewestByCount) {
  Outbox outbox({.messages = 2, .bytes = 1000});
  EXPECT_TRUE(outbox.push(message(MessageType::kMsgApp, 1)));
  EXPECT_TRUE(outbox.push(message(MessageType::kMsgApp, 2)));
  EXPECT_FALSE(outbox.push(message(MessageType::kMsgApp, 3)));
  EXPECT_EQ(outbox.pop()->index, Index(1));
  EXPECT_TRUE(outbox.push(message(MessageType::kMsgApp, 4)));
  EXPECT_EQ(outbox.pop()->index, Index(2));
  EXPECT_EQ(outbox.pop()->index, Index(4));
  EXPECT_FALSE(outbox.pop());
  EXPECT_EQ(outbox.bytes(), 0u);
}

TEST(Outbox, DropsTheNewestByBytes) {
  Outbox outbox({.messages = 10, .bytes = 1000});
  raft::Message big = message(MessageType::kMsgApp);
  big.entries = raft::Entries({test_entry(1, 1, std::string(5000, 'x'))});
  // Alone it goes through however big it is, and then nothing else does.
  EXPECT_TRUE(outbox.push(big));
  EXPECT_FALSE(outbox.push(message(MessageType::kMsgHeartbeat)));
  EXPECT_TRUE(outbox.pop());
  EXPECT_TRUE(outbox.push(message(MessageType::kMsgHeartbeat)));
  EXPECT_FALSE(outbox.push(big));
  EXPECT_EQ(outbox.size(), 1u);
}

TEST(Outbox, ClearTellsWhetherItLostAny) {
  Outbox outbox(kStreamOutbox);
  EXPECT_FALSE(outbox.clear());
  outbox.push(message(MessageType::kMsgApp));
  EXPECT_TRUE(outbox.clear());
  EXPECT_TRUE(outbox.empty());
  EXPECT_EQ(outbox.bytes(), 0u);
}

}  // namespace
}  // namespace keelson::peer
