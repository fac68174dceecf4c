// The two stream encodings against bytes put together by hand from docs/formats/peer.md, and what
// their decoders refuse.

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <map>

#include "absl/strings/escaping.h"
#include "base/endian.h"
#include "base/text.h"
#include "peer/append_stream.h"
#include "peer/message_stream.h"
#include "peer/test_messages.h"

namespace keelson::peer {
namespace {

using raft::MessageType;

std::string hex(std::string_view text) { return absl::HexStringToBytes(to_absl(text)); }

const AppendLink kLink{.local = MemberId(2), .remote = MemberId(1)};

raft::Message append(uint64_t term, uint64_t log_term, uint64_t index, uint64_t commit,
                     std::vector<raft::Entry> entries = {}) {
  return {.type = MessageType::kMsgApp,
          .to = kLink.local,
          .from = kLink.remote,
          .term = Term(term),
          .log_term = Term(log_term),
          .index = Index(index),
          .entries = raft::Entries(std::move(entries)),
          .commit = Index(commit)};
}

template <typename Decoder>
absl::Status refusal(Decoder decoder, std::string_view bytes) {
  const auto messages = decode_all(decoder, bytes);
  EXPECT_FALSE(decoder.at_boundary());
  return messages.status();
}

TEST(MessageStream, GoldenBytes) {
  const raft::Message message{.type = MessageType::kMsgHeartbeat,
                              .to = MemberId(2),
                              .from = MemberId(1),
                              .term = Term(3),
                              .commit = Index(300)};
  // length 11; type=8 to=2 from=1 term=3 commit=300
  const std::string bytes =
      hex("000000000000000b"
          "0808"
          "1002"
          "1801"
          "2003"
          "40ac02");
  EXPECT_EQ(encode_message(message).str(), bytes);
  EXPECT_EQ(encode_message(link_heartbeat()).str(), hex("0000000000000002"
                                                        "0808"));

  MessageDecoder decoder;
  const auto messages = decode_all(decoder, bytes + hex("0000000000000002"
                                                        "0808"));
  ASSERT_TRUE(messages.ok()) << messages.status();
  ASSERT_EQ(messages->size(), 2u);
  EXPECT_EQ(text_of(messages->at(0)), text_of(message));
  EXPECT_FALSE(is_link_heartbeat(messages->at(0)));
  EXPECT_TRUE(is_link_heartbeat(messages->at(1)));
  EXPECT_TRUE(decoder.at_boundary());
}

TEST(MessageStream, RefusesWhatIsNoMessage) {
  EXPECT_EQ(refusal(MessageDecoder(), hex("0000000020000001")).code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(refusal(MessageDecoder(), hex("ffffffffffffffff")).message(),
            "rafthttp: error limit exceeded");
  // An unknown type; a field that ends outside; entries that do not follow on the index.
  EXPECT_TRUE(absl::IsInvalidArgument(refusal(MessageDecoder(), hex("0000000000000002"
                                                                    "0863"))));
  EXPECT_TRUE(absl::IsInvalidArgument(refusal(MessageDecoder(), hex("0000000000000002"
                                                                    "3a09"))));
  const raft::Message gap = append(1, 1, 4, 4, {test_entry(1, 6, "x")});
  EXPECT_TRUE(absl::IsInvalidArgument(refusal(MessageDecoder(), encode_message(gap))));
  // Responses are for the member's own threads.
  EXPECT_TRUE(absl::IsInvalidArgument(refusal(MessageDecoder(), hex("0000000000000004"
                                                                    "0813"
                                                                    "7200"))));
}

TEST(MessageStream, AnErrorIsForGood) {
  MessageDecoder decoder;
  std::string_view bad = "\xff\xff\xff\xff\xff\xff\xff\xff";
  EXPECT_FALSE(decoder.next(&bad).ok());
  const Bytes good = encode_message(link_heartbeat());
  std::string_view rest = good.view();
  EXPECT_FALSE(decoder.next(&rest).ok());
}

TEST(MessageStream, TheLimitCountsWhatIsDecoded) {
  // Empty entries, two bytes each: small here, dozens of bytes each in memory.
  std::string body;
  for (int i = 0; i < 1000; ++i) body += hex("3a00");
  const std::string bytes = big64(body.size()) + body;
  EXPECT_TRUE(absl::IsResourceExhausted(refusal(MessageDecoder(10000), bytes)));
  EXPECT_TRUE(absl::IsResourceExhausted(refusal(MessageDecoder(100), bytes)));
}

// Each of them is the size of the smallest that a leader sends, of which a megabyte goes together.
TEST(MessageStream, SoManyEntriesAreNobodys) {
  const auto with = [](size_t entries) {
    std::string body = hex("0803");  // MsgApp
    for (size_t i = 0; i < entries; ++i) body += hex("3a020800");
    return big64(body.size()) + body;
  };
  constexpr size_t kMost = (1 << 20) / 6 + 1;
  EXPECT_EQ(refusal(MessageDecoder(), with(kMost + 1)).message(),
            "a raft message has more entries than anybody sends");
  EXPECT_TRUE(absl::IsInvalidArgument(refusal(MessageDecoder(), with(kMost)))) << "their indexes";
}

TEST(MessageStream, TheEndOfTheStreamIsSeen) {
  const Bytes bytes = encode_message(append(1, 1, 4, 4, {test_entry(1, 5, "x")}));
  for (size_t size = 0; size <= bytes.size(); ++size) {
    MessageDecoder decoder;
    ASSERT_TRUE(decode_all(decoder, bytes.view().substr(0, size)).ok());
    EXPECT_EQ(decoder.at_boundary(), size == 0 || size == bytes.size()) << size;
  }
}

TEST(AppendStream, GoldenBytes) {
  AppendEncoder encoder;
  AppendDecoder decoder(kLink);
  const auto both = [&](const raft::Message& message, std::string_view bytes) {
    EXPECT_EQ(absl::BytesToHexString(to_absl(encoder.encode(message))),
              absl::BytesToHexString(to_absl(bytes)));
    const auto messages = decode_all(decoder, bytes);
    ASSERT_TRUE(messages.ok()) << messages.status();
    ASSERT_EQ(messages->size(), 1u);
    EXPECT_EQ(text_of(messages->front()), text_of(message));
    EXPECT_TRUE(decoder.at_boundary());
  };
  both(link_heartbeat(), hex("00"));
  // The first message of a connection goes whole.
  // length 26; type=3 to=2 from=1 term=3 log_term=2 index=7 entry{0, 3, 8, "ab"} commit=6
  both(append(3, 2, 7, 6, {test_entry(3, 8, "ab")}), hex("02"
                                                         "000000000000001a"
                                                         "0803"
                                                         "1002"
                                                         "1801"
                                                         "2003"
                                                         "2802"
                                                         "3007"
                                                         "3a0a"
                                                         "0800"
                                                         "1003"
                                                         "1808"
                                                         "22026162"
                                                         "4006"));
  // What follows on it, in the term of the entry before: two entries, and commit=8.
  both(append(3, 3, 8, 8, {test_entry(3, 9, "c"), test_entry(3, 10, "")}), hex("01"
                                                                               "0000000000000002"
                                                                               "0000000000000009"
                                                                               "0800"
                                                                               "1003"
                                                                               "1809"
                                                                               "220163"
                                                                               "0000000000000008"
                                                                               "0800"
                                                                               "1003"
                                                                               "180a"
                                                                               "2200"
                                                                               "0000000000000008"));
  both(link_heartbeat(), hex("00"));
  // Without entries only the commit index moves.
  both(append(3, 3, 10, 10), hex("01"
                                 "0000000000000000"
                                 "000000000000000a"));
  // A step back, as after a rejection, goes whole; so does the first of a new term, whose entry
  // before is of an old one.
  both(append(3, 3, 9, 10), hex("02"
                                "000000000000000e"
                                "0803"
                                "1002"
                                "1801"
                                "2003"
                                "2803"
                                "3009"
                                "400a"));
  both(append(4, 3, 9, 10), hex("02"
                                "000000000000000e"
                                "0803"
                                "1002"
                                "1801"
                                "2004"
                                "2803"
                                "3009"
                                "400a"));
  // The same place in a term that the stream has not heard of (another leader wrote there
  // meanwhile).
  both(append(5, 5, 9, 10), hex("02"
                                "000000000000000e"
                                "0803"
                                "1002"
                                "1801"
                                "2005"
                                "2805"
                                "3009"
                                "400a"));
}

TEST(AppendStream, RefusesWhatDoesNotFollow) {
  const auto refuses = [](std::string_view bytes, absl::StatusCode code) {
    EXPECT_EQ(refusal(AppendDecoder(kLink), bytes).code(), code);
  };
  EXPECT_EQ(refusal(AppendDecoder(kLink), hex("03")).message(),
            "failed to parse type 3 in msgappv2 stream");
  refuses(hex("02"
              "ffffffffffffffff"),
          absl::StatusCode::kResourceExhausted);
  refuses(hex("02"
              "0000000000000002"
              "0808"),
          absl::StatusCode::kInvalidArgument);
  refuses(hex("02"
              "0000000000000002"
              "0863"),
          absl::StatusCode::kInvalidArgument);
  const std::string one_entry =
      hex("01"
          "0000000000000001");
  refuses(one_entry + hex("ffffffffffffffff"), absl::StatusCode::kResourceExhausted);
  // Index 2 where 1 is next; no index at all; no entry at all.
  refuses(one_entry + hex("0000000000000004"
                          "1001"
                          "1802"),
          absl::StatusCode::kInvalidArgument);
  refuses(one_entry + hex("0000000000000002"
                          "1001"),
          absl::StatusCode::kInvalidArgument);
  refuses(one_entry + hex("0000000000000000"), absl::StatusCode::kInvalidArgument);
}

TEST(AppendStream, AnAnnouncedCountCostsNothing) {
  AppendDecoder decoder(kLink);
  const auto messages = decode_all(decoder, hex("01"
                                                "ffffffffffffffff"));
  ASSERT_TRUE(messages.ok());
  EXPECT_TRUE(messages->empty());
  EXPECT_FALSE(decoder.at_boundary());
}

TEST(AppendStream, TheLimitCountsAllEntries) {
  std::string bytes =
      hex("01"
          "00000000000000ff");
  for (char i = 1; i <= 20; ++i)
    bytes += hex("0000000000000004"
                 "1001"
                 "18") +
             std::string(1, i);
  EXPECT_TRUE(absl::IsResourceExhausted(refusal(AppendDecoder(kLink, 1000), bytes)));
}

// What two members of etcd 3.5.30 said to each other while one was elected and took thirty puts:
// the bodies of their streams, to the last byte.
std::string etcd_stream(const std::string& name) {
  std::ifstream in(KEELSON_SOURCE_DIR "/src/peer/testdata/etcd_streams/" + name, std::ios::binary);
  EXPECT_TRUE(in) << name;
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

TEST(AppendStream, AsEtcdWritesIt) {
  const std::string bytes = etcd_stream("msgapp_3.5.30");
  AppendDecoder decoder(kLink);
  AppendEncoder encoder;
  std::map<char, int> kinds;
  for (std::string_view rest = bytes; !rest.empty();) {
    const std::string_view before = rest;
    const auto message = decoder.next(&rest);
    ASSERT_TRUE(message.ok()) << message.status();
    ASSERT_TRUE(message->has_value());
    const std::string_view frame = before.substr(0, before.size() - rest.size());
    const Bytes ours = encoder.encode(**message);
    ASSERT_EQ(ours.view()[0], frame[0]);
    // Whole messages of 3.5 hold zeros that 3.7 leaves out; bare entries are the same.
    if (frame[0] != 2) {
      EXPECT_TRUE(ours.view() == frame);
    }
    ++kinds[frame[0]];
  }
  EXPECT_TRUE(decoder.at_boundary());
  EXPECT_GE(kinds[1], 30);
  EXPECT_GE(kinds[2], 1);
  EXPECT_GE(kinds[0], 1);
}

TEST(MessageStream, AsEtcdWritesIt) {
  for (const char* name : {"message_3.5.30", "message_leader_3.5.30"}) {
    MessageDecoder decoder;
    const auto messages = decode_all(decoder, etcd_stream(name));
    ASSERT_TRUE(messages.ok()) << messages.status();
    EXPECT_TRUE(decoder.at_boundary());
    EXPECT_GT(messages->size(), 20u);
    for (const raft::Message& message : *messages) {
      if (is_link_heartbeat(message)) continue;
      EXPECT_NE(message.from, raft::kNobody);
      EXPECT_FALSE(raft::is_local_message(message.type)) << raft::name_of(message.type);
    }
  }
}

}  // namespace
}  // namespace keelson::peer
