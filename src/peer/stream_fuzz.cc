// Arbitrary bytes, in arbitrary pieces, to everything in peer/ that reads what another member sent.
// The first byte says which, the second how the rest is cut. However it is cut, the outcome is the
// same, and what was taken is written and read alike again.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "peer/append_stream.h"
#include "peer/handshake.h"
#include "peer/message_stream.h"
#include "peer/snapshot_body.h"
#include "wire/raft_codec.h"

namespace keelson::peer {

namespace {

constexpr size_t kLimit = 1 << 20;
const AppendLink kLink{.local = MemberId(2), .remote = MemberId(1)};

struct Outcome {
  std::vector<raft::Message> messages;
  absl::Status status;
};

template <typename Decoder>
Outcome run(Decoder decoder, std::string_view input, size_t piece) {
  Outcome outcome;
  while (!input.empty() && outcome.status.ok()) {
    const std::string block(input.substr(0, piece));
    input.remove_prefix(block.size());
    std::string_view rest = block;
    while (outcome.status.ok()) {
      auto message = decoder.next(&rest);
      outcome.status = message.status();
      if (!message.ok() || !message->has_value()) break;
      outcome.messages.push_back(**std::move(message));
    }
    if (outcome.status.ok()) CHECK(rest.empty());
  }
  return outcome;
}

template <typename Decoder>
std::vector<raft::Message> same_however_cut(Decoder decoder, std::string_view input, size_t piece) {
  const Outcome whole = run(decoder, input, input.size());
  const Outcome cut = run(decoder, input, piece);
  CHECK(whole.status == cut.status);
  CHECK(whole.messages.size() == cut.messages.size());
  for (size_t i = 0; i < whole.messages.size(); ++i) {
    CHECK(wire::encode(whole.messages[i]) == wire::encode(cut.messages[i]));
  }
  return whole.messages;
}

void message_stream(std::string_view input, size_t piece) {
  std::string again;
  const auto messages = same_however_cut(MessageDecoder(kLimit), input, piece);
  for (const raft::Message& message : messages) again += encode_message(message).view();
  CHECK(run(MessageDecoder(2 * kLimit), again, 7).messages.size() == messages.size());
}

void append_stream(std::string_view input, size_t piece) {
  std::string again;
  AppendEncoder encoder;
  const auto messages = same_however_cut(AppendDecoder(kLink, kLimit), input, piece);
  for (const raft::Message& message : messages) again += encoder.encode(message).view();
  CHECK(run(AppendDecoder(kLink, 2 * kLimit), again, 7).messages.size() == messages.size());
}

// Counts what it is given, and fails now and then.
class CountingSink final : public SnapshotSink {
 public:
  absl::Status begin(raft::Message message) override {
    CHECK(!begun_);
    CHECK(!raft::is_empty(message.snapshot));
    begun_ = true;
    return absl::OkStatus();
  }
  absl::Status write(std::string_view bytes) override {
    CHECK(begun_);
    CHECK(!bytes.empty());
    size_ += bytes.size();
    return size_ > 1000 ? absl::DataLossError("full") : absl::OkStatus();
  }
  absl::Status end() override {
    CHECK(size_ > 0);
    return absl::OkStatus();
  }

 private:
  bool begun_ = false;
  size_t size_ = 0;
};

void snapshot_body(std::string_view input, size_t piece) {
  CountingSink sink;
  SnapshotBodyDecoder decoder(&sink);
  absl::Status status;
  for (; !input.empty() && status.ok(); input.remove_prefix(std::min(piece, input.size()))) {
    status = decoder.take(std::string(input.substr(0, piece)));
  }
  if (status.ok()) status = decoder.finish();
  CHECK(status.ok() == (decoder.answer().code == 0));
}

void headers(std::string_view input, size_t piece) {
  const LocalMember local{.id = MemberId(2), .cluster = ClusterId(5), .version = "3.7.1"};
  const std::string_view first = input.substr(0, piece);
  const std::string_view second = input.substr(first.size());
  const StreamRequest request{.method = "GET",
                              .path = first,
                              .headers = {.server_from = second,
                                          .server_version = second,
                                          .cluster_id = "5",
                                          .raft_to = "2",
                                          .peer_urls = second}};
  const auto known = [](MemberId id) { return static_cast<Standing>(id.value % 3); };
  const StreamVerdict verdict = judge_stream(request, local, known);
  CHECK(verdict.accepted.has_value() == (verdict.refusal.answer.code == 0));
  judge_stream_answer({.code = 200, .server_version = first}, local, MemberId(1));
}

}  // namespace

void fuzz_stream(std::string_view input) {
  if (input.size() < 2) return;
  const auto kind = static_cast<uint8_t>(input[0]);
  const size_t piece = static_cast<uint8_t>(input[1]) + 1u;
  input.remove_prefix(2);
  switch (kind % 4) {
    case 0:
      return message_stream(input, piece);
    case 1:
      return append_stream(input, piece);
    case 2:
      return snapshot_body(input, piece);
    case 3:
      return headers(input, piece);
  }
}

}  // namespace keelson::peer

#ifdef KEELSON_FUZZER
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  keelson::peer::fuzz_stream({reinterpret_cast<const char*>(data), size});
  return 0;
}
#endif
