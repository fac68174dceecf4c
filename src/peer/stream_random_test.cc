// Both stream encodings there and back, in random pieces, against messages in a list.

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "base/test_seeds.h"
#include "peer/append_stream.h"
#include "peer/message_stream.h"
#include "peer/test_messages.h"

namespace keelson::peer {
namespace {

using raft::MessageType;

const AppendLink kLink{.local = MemberId(2), .remote = MemberId(1)};

std::string payload(Random& random) {
  const size_t most = random.below(60) == 0 ? 3'000'000 : 50;
  std::string out(random.below(most + 1), '\0');
  if (!out.empty()) out.back() = out.front() = static_cast<char>(random.next());
  return out;
}

// What a leader sends to one member: mostly on from where it was, now and then in a new term or
// from elsewhere.
class Leader {
 public:
  explicit Leader(Random& random) : random_(random) {}

  raft::Message next() {
    if (random_.below(8) == 0) return link_heartbeat();
    if (random_.below(8) == 0) last_ = random_.below(last_ + 3);
    if (random_.below(8) == 0) ++term_;
    std::vector<raft::Entry> entries;
    raft::Message message{.type = MessageType::kMsgApp,
                          .to = kLink.local,
                          .from = kLink.remote,
                          .term = Term(term_),
                          .log_term = Term(last_term_),
                          .index = Index(last_),
                          .commit = Index(random_.below(last_ + 1))};
    for (uint64_t n = random_.below(5); n > 0; --n) {
      last_term_ = term_ - random_.below(std::min<uint64_t>(term_, 2));
      entries.push_back(test_entry(last_term_, ++last_, payload(random_)));
    }
    message.entries = raft::Entries(std::move(entries));
    return message;
  }

 private:
  Random& random_;
  uint64_t term_ = 1;
  uint64_t last_term_ = 0;
  uint64_t last_ = 0;
};

template <typename Decoder>
void expect_same(Decoder& decoder, std::string_view bytes, const std::vector<raft::Message>& sent,
                 Random& random) {
  const auto received = decode_all(decoder, bytes, &random);
  ASSERT_TRUE(received.ok()) << received.status();
  ASSERT_EQ(received->size(), sent.size());
  for (size_t i = 0; i < sent.size(); ++i) {
    ASSERT_TRUE(text_of(received->at(i)) == text_of(sent[i])) << "message " << i;
  }
  EXPECT_TRUE(decoder.at_boundary());
}

TEST(StreamRandom, ThereAndBack) {
  std::map<char, int> kinds;  // of all seeds: one alone may have no heartbeat
  int messages_seen = 0;
  for_each_seed(60, [&](uint64_t seed) {
    SeededRandom random(seed);
    Leader leader(random);
    AppendEncoder encoder;
    std::vector<raft::Message> sent;
    std::string appends, messages;
    for (int i = 0; i < 60; ++i) {
      sent.push_back(leader.next());
      const Bytes frame = encoder.encode(sent.back());
      ++kinds[frame.data()[0]];
      ++messages_seen;
      appends += frame.view();
      messages += encode_message(sent.back()).view();
    }
    AppendDecoder append_decoder(kLink);
    expect_same(append_decoder, appends, sent, random);
    MessageDecoder message_decoder;
    expect_same(message_decoder, messages, sent, random);
  });
  if (messages_seen > 1000) {
    EXPECT_EQ(kinds.size(), 3u);
  }
}

}  // namespace
}  // namespace keelson::peer
