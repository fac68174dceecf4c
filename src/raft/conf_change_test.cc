// The encodings that raft writes itself, byte for byte, and what it makes of others' bytes.

#include "raft/conf_change.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "base/test_seeds.h"
#include "raft/describe.h"

namespace keelson::raft {
namespace {

std::string hex(const Bytes& bytes) {
  std::string text;
  for (unsigned char c : bytes.view()) {
    text += "0123456789abcdef"[c >> 4];
    text += "0123456789abcdef"[c & 15];
  }
  return text;
}

TEST(ConfChangeCodec, WritesWhatEtcdWrites) {
  EXPECT_EQ(hex(encode(ConfChange{.type = ConfChangeType::kAddNode, .node_id = MemberId(3)})),
            "10001803");
  EXPECT_EQ(hex(encode(ConfChange{.id = 300,
                                  .type = ConfChangeType::kAddLearnerNode,
                                  .node_id = MemberId(1),
                                  .context = Bytes::copy("hi")})),
            "08ac02100318012202"
            "6869");
  EXPECT_EQ(hex(encode(ConfChangeV2{.transition = ConfChangeTransition::kJointExplicit,
                                    .changes = {{ConfChangeType::kRemoveNode, MemberId(2)}}})),
            "0802120408011002");
  EXPECT_EQ(hex(encode(ConfChangeV2{})), "0800");
}

TEST(ConfChangeCodec, ReadsBackWhatItWrote) {
  for_each_seed(20, [](uint64_t seed) {
    SeededRandom random(seed);
    for (int round = 0; round < 250; ++round) {
      ConfChangeV2 change{.transition = static_cast<ConfChangeTransition>(random.below(3)),
                          .changes = {}};
      for (uint64_t n = random.below(4); n > 0; --n) {
        change.changes.push_back({static_cast<ConfChangeType>(random.below(4)),
                                  MemberId(random.next() >> random.below(64))});
      }
      if (random.below(2) == 0) change.context = Bytes::copy(std::string(random.below(300), 'c'));
      absl::StatusOr<ConfChangeV2> again = decode_conf_change_v2(encode(change));
      ASSERT_TRUE(again.ok()) << again.status();
      ASSERT_EQ(*again, change);

      const ConfChange v1{.id = random.next() >> random.below(64),
                          .type = ConfChangeType::kUpdateNode,
                          .node_id = MemberId(random.next()),
                          .context = change.context};
      absl::StatusOr<ConfChange> v1_again = decode_conf_change(encode(v1));
      ASSERT_TRUE(v1_again.ok()) << v1_again.status();
      ASSERT_EQ(*v1_again, v1);
    }
  });
}

TEST(ConfChangeCodec, AnyBytesGiveAnAnswer) {
  for_each_seed(20, [](uint64_t seed) {
    SeededRandom random(seed);
    for (int round = 0; round < 5000; ++round) {
      std::string bytes(random.below(24), '\0');
      for (char& c : bytes) {
        c = static_cast<char>(random.below(3) ? random.below(40) : random.next());
      }
      decode_conf_change(bytes).IgnoreError();
      decode_conf_change_v2(bytes).IgnoreError();
    }
  });
  EXPECT_TRUE(decode_conf_change_v2("").ok());
  EXPECT_FALSE(decode_conf_change_v2("\x12\x05\x08").ok());
  EXPECT_FALSE(decode_conf_change("\x08").ok());
  // A field of a later version is stepped over.
  EXPECT_EQ(decode_conf_change("\x18\x07\x98\x01\x05")->node_id, MemberId(7));
}

TEST(EntrySize, CountsProtobufBytes) {
  auto varint = [](uint64_t value) {
    uint64_t bytes = 1;
    for (; value >= 128; value /= 128) ++bytes;
    return bytes;
  };
  for_each_seed(20, [&varint](uint64_t seed) {
    SeededRandom random(seed);
    for (int round = 0; round < 500; ++round) {
      Entry entry;
      entry.term = Term(random.next() >> random.below(64));
      entry.index = Index(random.next() >> random.below(64));
      entry.type = static_cast<EntryType>(random.below(3));
      entry.data = Bytes::copy(std::string(random.below(300), 'd'));
      uint64_t size = 2 + varint(entry.term.value) + varint(entry.index.value);
      if (entry.type != EntryType::kNormal) size += 2;
      if (!entry.data.empty()) size += 1 + varint(entry.data.size()) + entry.data.size();
      ASSERT_EQ(encoded_size(entry), size);
    }
  });
}

TEST(Quoted, AsGoDoes) {
  EXPECT_EQ(quoted("a\"b\\\n\x01\x7f"), R"("a\"b\\\n\x01\x7f")");
  EXPECT_EQ(quoted("\xc3\xa9\xff"), "\"\xc3\xa9\\xff\"");
}

}  // namespace
}  // namespace keelson::raft
