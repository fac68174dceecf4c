#include "node/condense.h"

#include <gtest/gtest.h>

#include <string>

#include "base/text.h"
#include "raft/entry_buffer.h"

namespace keelson::node {
namespace {

using raft::Message;
using raft::MessageType;

constexpr uint64_t kMost = 1000;

Message message(MessageType type, uint64_t to, uint64_t index = 0) {
  return {.type = type,
          .to = MemberId(to),
          .from = MemberId(1),
          .term = Term(5),
          .index = Index(index)};
}

Message heartbeat(uint64_t to, std::string_view context) {
  Message m = message(MessageType::kMsgHeartbeat, to);
  m.context = Bytes::copy(context);
  return m;
}

// A log of entries from 1 on, of which appends are made.
class Log {
 public:
  Log() {
    buffer_.reserve(100);
    for (uint64_t i = 1; i <= 100; ++i) {
      buffer_.push({.term = Term(i <= 50 ? 4 : 5),
                    .index = Index(i),
                    .data = Bytes::copy("twenty bytes of data")});
    }
  }
  Message append(uint64_t to, uint64_t after, uint64_t count, uint64_t commit) const {
    Message m = message(MessageType::kMsgApp, to, after);
    m.log_term = Term(after == 0 ? 0 : after <= 50 ? 4 : 5);
    m.entries = buffer_.slice(after, count);
    m.commit = Index(commit);
    return m;
  }

 private:
  raft::EntryBuffer buffer_;
};

std::string text(const std::vector<Message>& messages) {
  std::string out;
  for (const Message& m : messages) {
    out += cat(out.empty() ? "" : " ", raft::name_of(m.type).substr(3), ">", m.to.value);
    if (m.type == MessageType::kMsgApp) {
      out += cat(":", m.index.value, "+", m.entries.size(), "c", m.commit.value);
    } else if (m.index != Index(0)) {
      out += cat(":", m.index.value);
    }
    if (!m.context.empty()) out += cat("=", m.context.view());
    if (m.reject) out += "!";
  }
  return out;
}

template <typename... Messages>
std::string condensed(Messages... messages) {
  std::vector<Message> all;
  (all.push_back(std::move(messages)), ...);
  condense(&all, kMost);
  return text(all);
}

TEST(Condense, OfHeartbeatsTheLastGoes) {
  EXPECT_EQ(condensed(heartbeat(2, "a"), heartbeat(3, "a"), heartbeat(2, "b"), heartbeat(3, "b")),
            "Heartbeat>2=b Heartbeat>3=b");
  EXPECT_EQ(condensed(heartbeat(2, ""), heartbeat(2, "b")), "Heartbeat>2=b");
}

TEST(Condense, WhatConfirmsReadsIsNotLostBehindAPlainHeartbeat) {
  EXPECT_EQ(condensed(heartbeat(2, "a"), heartbeat(2, "")), "Heartbeat>2=a Heartbeat>2");
}

TEST(Condense, AnAcknowledgementCoversLowerOnes) {
  EXPECT_EQ(
      condensed(message(MessageType::kMsgAppResp, 2, 7), message(MessageType::kMsgAppResp, 2, 9),
                message(MessageType::kMsgAppResp, 3, 1), message(MessageType::kMsgAppResp, 2, 8)),
      "AppResp>2:9 AppResp>3:1");
}

TEST(Condense, RejectionsStandBetween) {
  Message rejection = message(MessageType::kMsgAppResp, 2, 8);
  rejection.reject = true;
  EXPECT_EQ(condensed(message(MessageType::kMsgAppResp, 2, 7), rejection,
                      message(MessageType::kMsgAppResp, 2, 9)),
            "AppResp>2:7 AppResp>2:8! AppResp>2:9");
}

TEST(Condense, AppendsThatGoOnAreOne) {
  Log log;
  EXPECT_EQ(condensed(log.append(2, 3, 2, 1), log.append(3, 3, 2, 1), log.append(2, 5, 4, 2),
                      log.append(3, 5, 4, 2), log.append(2, 9, 0, 9), log.append(3, 9, 0, 9)),
            "App>2:3+6c9 App>3:3+6c9");
  EXPECT_EQ(condensed(log.append(2, 9, 0, 3), log.append(2, 9, 2, 4)), "App>2:9+2c4");
  // Over the border of a term, whose entries say so themselves.
  EXPECT_EQ(condensed(log.append(2, 45, 5, 3), log.append(2, 50, 5, 4)), "App>2:45+10c4");
}

TEST(Condense, AppendsThatDoNotAreNot) {
  Log log;
  EXPECT_EQ(condensed(log.append(2, 3, 2, 1), log.append(2, 3, 2, 2)), "App>2:3+2c1 App>2:3+2c2");
  EXPECT_EQ(condensed(log.append(2, 3, 2, 1), log.append(2, 6, 2, 2)), "App>2:3+2c1 App>2:6+2c2");
  Message later = log.append(2, 5, 2, 2);
  later.term = Term(6);
  EXPECT_EQ(condensed(log.append(2, 3, 2, 1), later), "App>2:3+2c1 App>2:5+2c2");
  later = log.append(2, 5, 2, 2);
  later.log_term = Term(3);
  EXPECT_EQ(condensed(log.append(2, 3, 2, 1), later), "App>2:3+2c1 App>2:5+2c2");
}

TEST(Condense, AnAppendStaysWithinItsBound) {
  Log log;
  EXPECT_EQ(condensed(log.append(2, 0, 30, 0), log.append(2, 30, 20, 0), log.append(2, 50, 1, 0)),
            "App>2:0+50c0 App>2:50+1c0");
}

TEST(Condense, TheRestStaysAsItIs) {
  EXPECT_EQ(condensed(message(MessageType::kMsgVote, 2, 7), message(MessageType::kMsgVote, 2, 7),
                      message(MessageType::kMsgReadIndexResp, 2, 7),
                      message(MessageType::kMsgReadIndexResp, 2, 8)),
            "Vote>2:7 Vote>2:7 ReadIndexResp>2:7 ReadIndexResp>2:8");
}

}  // namespace
}  // namespace keelson::node
