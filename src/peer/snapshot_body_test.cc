// The body of a snapshot in pieces, and what its sender is told when it is none.

#include "peer/snapshot_body.h"

#include <gtest/gtest.h>

#include "base/endian.h"
#include "peer/test_messages.h"

namespace keelson::peer {
namespace {

class StringSink final : public SnapshotSink {
 public:
  absl::Status begin(raft::Message m) override {
    EXPECT_FALSE(message);
    message = std::move(m);
    return begin_status;
  }
  absl::Status write(std::string_view bytes) override {
    EXPECT_FALSE(bytes.empty());
    database += bytes;
    return database.size() > room ? absl::ResourceExhaustedError("disk is full") : absl::OkStatus();
  }
  absl::Status end() override {
    ended = true;
    return end_status;
  }

  absl::Status begin_status, end_status;
  size_t room = 1 << 20;
  std::optional<raft::Message> message;
  std::string database;
  bool ended = false;
};

raft::Message snapshot_message() {
  const raft::SnapshotMetadata metadata{
      .conf_state = {.voters = {MemberId(1), MemberId(2)}}, .index = Index(9), .term = Term(3)};
  return {.type = raft::MessageType::kMsgSnap,
          .to = MemberId(2),
          .from = MemberId(1),
          .term = Term(3),
          .snapshot = std::make_shared<raft::Snapshot>(
              raft::Snapshot{.data = Bytes::copy("members"), .metadata = metadata})};
}

const std::string kDatabase(10000, 'd');

std::string whole_body() { return encode_snapshot_head(snapshot_message()).str() + kDatabase; }

TEST(SnapshotBody, InPiecesOfEverySize) {
  for (size_t piece : {1, 2, 7, 8, 9, 30, 4096, 20000}) {
    StringSink sink;
    SnapshotBodyDecoder decoder(&sink);
    const std::string body = whole_body();
    for (size_t at = 0; at < body.size(); at += piece) {
      ASSERT_TRUE(decoder.take(body.substr(at, piece)).ok());
    }
    EXPECT_FALSE(sink.ended);
    ASSERT_TRUE(decoder.finish().ok());
    EXPECT_TRUE(sink.ended);
    ASSERT_TRUE(sink.message);
    EXPECT_EQ(text_of(*sink.message), text_of(snapshot_message()));
    EXPECT_TRUE(sink.database == kDatabase);
  }
}

std::string answer_to(StringSink* sink, const std::string& body) {
  SnapshotBodyDecoder decoder(sink);
  absl::Status status = decoder.take(body);
  if (status.ok()) status = decoder.finish();
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(decoder.take("more"), status);
  EXPECT_EQ(decoder.finish(), status);
  EXPECT_FALSE(sink->ended && sink->end_status.ok());
  return std::to_string(decoder.answer().code) + " " + decoder.answer().body;
}

TEST(SnapshotBody, TheSendersFaults) {
  StringSink sink;
  const std::string early = "400 failed to decode raft message (unexpected EOF)\n";
  EXPECT_EQ(answer_to(&sink, ""), early);
  EXPECT_EQ(answer_to(&sink, whole_body().substr(0, 20)), early);
  EXPECT_EQ(answer_to(&sink, big64(kMaxSnapshotMessageSize + 1)),
            "400 failed to decode raft message (rafthttp: error limit exceeded)\n");
  raft::Message message = snapshot_message();
  message.type = raft::MessageType::kMsgApp;
  EXPECT_EQ(answer_to(&sink, encode_message(message).str() + "x"), "400 wrong raft message type\n");
  message.type = raft::MessageType::kMsgSnap;
  message.snapshot = nullptr;
  EXPECT_EQ(answer_to(&sink, encode_message(message).str() + "x"),
            "400 failed to decode raft message (a MsgSnap without a snapshot)\n");
  EXPECT_FALSE(sink.message);
  EXPECT_EQ(answer_to(&sink, encode_message(snapshot_message()).str()),
            "400 failed to save KV snapshot (no database follows)\n");
}

TEST(SnapshotBody, OurFaults) {
  const std::string full = "500 failed to save KV snapshot (disk is full)\n";
  StringSink refuses;
  refuses.begin_status = absl::ResourceExhaustedError("disk is full");
  EXPECT_EQ(answer_to(&refuses, whole_body()), full);
  EXPECT_EQ(refuses.database, "");
  StringSink small;
  small.room = 100;
  EXPECT_EQ(answer_to(&small, whole_body()), full);
  StringSink unsynced;
  unsynced.end_status = absl::ResourceExhaustedError("disk is full");
  EXPECT_EQ(answer_to(&unsynced, whole_body()), full);
}

}  // namespace
}  // namespace keelson::peer
