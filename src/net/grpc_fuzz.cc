// Any bytes to the codings of gRPC: messages in their frames, in pieces of any size and compressed
// or not, timeouts, texts, binary metadata. The first byte chooses the way; without KEELSON_FUZZER
// this file is part of the corpus test.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "net/grpc_codec.h"

namespace keelson::net {
namespace {

constexpr size_t kMaxMessage = 4096;

struct Messages {
  std::vector<std::string> whole;
  bool bad = false;
  bool unfinished = false;
  friend bool operator==(const Messages&, const Messages&) = default;
};

Messages read_in_pieces(std::string_view input, bool gzip, size_t piece) {
  MessageReader reader;
  reader.reset(kMaxMessage, gzip);
  Messages out;
  while (!input.empty() && !out.bad) {
    std::string_view part = input.substr(0, piece);
    input.remove_prefix(part.size());
    while (!part.empty() && !out.bad) {
      switch (reader.feed(&part)) {
        case MessageReader::Step::kNeedMore:
          CHECK(part.empty());
          break;
        case MessageReader::Step::kMessage:
          out.whole.emplace_back(reader.take().view());
          CHECK(out.whole.back().size() <= kMaxMessage);
          break;
        case MessageReader::Step::kBad:
          CHECK(!reader.error().ok());
          out.bad = true;
          break;
      }
    }
  }
  out.unfinished = !out.bad && reader.in_message();
  return out;
}

void texts(std::string_view input) {
  parse_grpc_timeout(input).status().IgnoreError();
  for (char c : percent_encode(input)) CHECK(c >= ' ' && c <= '~');
  quoted(input);
  is_grpc_content_type(input);
  std::string decoded;
  decode_base64(input, &decoded);
  CHECK(decode_base64(encode_base64(input), &decoded));
  CHECK(decoded == input);
}

}  // namespace

void fuzz_grpc(std::string_view input) {
  if (input.empty()) return;
  const auto way = static_cast<uint8_t>(input[0]);
  input.remove_prefix(1);
  if (way & 1) return texts(input);
  const bool gzip = way & 2;
  if (way & 4) gunzip(input, kMaxMessage).status().IgnoreError();
  const Messages whole = read_in_pieces(input, gzip, input.size() + 1);
  CHECK(read_in_pieces(input, gzip, 1) == whole);
  CHECK(read_in_pieces(input, gzip, 1 + (way >> 3)) == whole);
}

}  // namespace keelson::net

#ifdef KEELSON_FUZZER
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  keelson::net::fuzz_grpc({reinterpret_cast<const char*>(data), size});
  return 0;
}
#endif
