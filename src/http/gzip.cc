#include "http/gzip.h"

#include <zlib.h>

#include "base/check.h"

namespace keelson::http {
namespace {

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t";
  const size_t from = text.find_first_not_of(kBlanks);
  if (from == text.npos) return {};
  return text.substr(from, text.find_last_not_of(kBlanks) - from + 1);
}

// Takes what stands before the next `mark` off the front.
std::string_view take(std::string_view& text, char mark) {
  const size_t end = text.find(mark);
  const std::string_view part = trimmed(text.substr(0, end));
  text = end == text.npos ? std::string_view() : text.substr(end + 1);
  return part;
}

// "q=0", "q=0.000".
bool is_zero(std::string_view parameter) {
  return (parameter.starts_with("q=") || parameter.starts_with("Q=")) && parameter.size() > 2 &&
         parameter.find_first_not_of("0.", 2) == parameter.npos;
}

}  // namespace

std::string gzip(std::string_view text) {
  constexpr int kGzip = 15 + 16, kMemory = 8;
  z_stream stream{};
  CHECK(deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, kGzip, kMemory, Z_DEFAULT_STRATEGY) ==
        Z_OK);
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  CHECK(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  CHECK(deflateEnd(&stream) == Z_OK);
  return out;
}

bool accepts_gzip(std::string_view accept_encoding) {
  while (!accept_encoding.empty()) {
    std::string_view parameters = take(accept_encoding, ',');
    const std::string_view coding = take(parameters, ';');
    if (coding != "gzip" && coding != "*") continue;
    bool refused = false;
    while (!parameters.empty()) refused |= is_zero(take(parameters, ';'));
    if (coding == "gzip" || !refused) return !refused;
  }
  return false;
}

}  // namespace keelson::http
