// Any bytes as a server's answer, cut into pieces of any size: the cuts change nothing.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/check.h"
#include "net/http1_response.h"

namespace keelson::net {
namespace {

constexpr size_t kLimit = 4096;

struct Read {
  int status = 0;
  size_t fields = 0;
  std::string body;
  bool keeps_alive = false;
  size_t left = 0;

  bool operator==(const Read&) const = default;
};

// What is read of `input` in pieces of `cut` bytes; nothing if it is no answer.
std::optional<Read> read_in_pieces(std::string_view input, size_t cut, bool to_head) {
  Http1Response response(kLimit, to_head);
  Read read;
  std::string held;
  bool end = false;
  while (!response.complete() && !end) {
    end = input.empty();
    held.append(input.substr(0, cut));
    input.remove_prefix(input.size() < cut ? input.size() : cut);
    std::string_view left = held;
    const absl::Status status = end ? response.end_of_input() : response.take(&left);
    CHECK(status.ok() || absl::IsUnavailable(status));
    if (!status.ok()) return std::nullopt;
    held.erase(0, held.size() - left.size());
    if (!response.complete()) CHECK(held.size() <= kLimit);
    read.body += response.body();
    response.body().clear();
  }
  CHECK(response.complete());
  CHECK(response.head().status >= 200);
  read.status = response.head().status;
  read.fields = response.head().fields.size();
  read.keeps_alive = response.keeps_alive();
  read.left = held.size() + input.size();
  return read;
}

}  // namespace

void fuzz_http1_response(std::string_view input) {
  if (input.empty()) return;
  const auto way = static_cast<uint8_t>(input[0]);
  input.remove_prefix(1);
  const bool to_head = (way & 1) != 0;
  const auto in_pieces = read_in_pieces(input, 1 + (way >> 1), to_head);
  // A line that is too long is let through if it comes at once.
  if (input.size() > kLimit) return;
  CHECK(in_pieces == read_in_pieces(input, kLimit, to_head));
}

}  // namespace keelson::net

#ifdef KEELSON_FUZZER
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  keelson::net::fuzz_http1_response({reinterpret_cast<const char*>(data), size});
  return 0;
}
#endif
