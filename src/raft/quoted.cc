// Go's %q: what scenario files and log lines quote bytes with.

#include <cstdint>
#include <string>
#include <string_view>

#include "raft/describe.h"

namespace keelson::raft {
namespace {

constexpr char kHex[] = "0123456789abcdef";

// The bytes of a well-formed UTF-8 sequence at the front of `in`, 0 if there is none.
size_t utf8_length(std::string_view in) {
  const auto lead = static_cast<unsigned char>(in[0]);
  const size_t length = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
  if (length == 0 || in.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((static_cast<unsigned char>(in[i]) & 0xc0) != 0x80) return 0;
  }
  const auto second = static_cast<unsigned char>(in[1]);
  if (lead == 0xe0 && second < 0xa0) return 0;  // overlong
  if (lead == 0xed && second > 0x9f) return 0;  // surrogate
  if (lead == 0xf0 && second < 0x90) return 0;  // overlong
  if (lead == 0xf4 && second > 0x8f) return 0;  // past U+10FFFF
  return length;
}

std::string_view short_escape(char c) {
  switch (c) {
    case '\a':
      return "\\a";
    case '\b':
      return "\\b";
    case '\f':
      return "\\f";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    case '\v':
      return "\\v";
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    default:
      return "";
  }
}

}  // namespace

std::string quoted(std::string_view bytes) {
  std::string out = "\"";
  while (!bytes.empty()) {
    const char c = bytes[0];
    const auto byte = static_cast<unsigned char>(c);
    size_t length = 1;
    if (std::string_view escape = short_escape(c); !escape.empty()) {
      out += escape;
    } else if (byte >= 0x20 && byte < 0x7f) {
      out += c;
    } else if (size_t n = byte < 0x80 ? 0 : utf8_length(bytes)) {
      length = n;
      out += bytes.substr(0, n);
    } else {
      out += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
    }
    bytes.remove_prefix(length);
  }
  return out + "\"";
}

}  // namespace keelson::raft
