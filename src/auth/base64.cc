#include "auth/base64.h"

#include <cstdint>

#include "absl/strings/escaping.h"
#include "base/text.h"

namespace keelson::auth {
namespace {

// The value of a letter; -1: none.
int value_of(char c, bool url) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == (url ? '-' : '+')) return 62;
  if (c == (url ? '_' : '/')) return 63;
  return -1;
}

std::string without_line_ends(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c != '\r' && c != '\n') out += c;
  }
  return out;
}

// What is left of padding is decoded by its number of letters.
bool decode(std::string_view letters, bool url, std::string* out) {
  if (letters.size() % 4 == 1) return false;
  out->clear();
  out->reserve(letters.size() * 3 / 4);
  uint32_t bits = 0;
  int held = 0;
  for (char c : letters) {
    const int value = value_of(c, url);
    if (value < 0) return false;
    bits = bits << 6 | static_cast<uint32_t>(value);
    held += 6;
    if (held >= 8) {
      held -= 8;
      *out += static_cast<char>(bits >> held & 0xff);
    }
  }
  return true;
}

}  // namespace

std::string encode_base64(std::string_view bytes) { return absl::Base64Escape(to_absl(bytes)); }

std::string encode_base64_url(std::string_view bytes) {
  return absl::WebSafeBase64Escape(to_absl(bytes));  // without padding
}

bool decode_base64(std::string_view text, std::string* out) {
  const std::string letters = without_line_ends(text);
  if (letters.size() % 4 != 0) return false;
  std::string_view content = letters;
  for (int i = 0; i < 2 && !content.empty() && content.back() == '='; ++i) content.remove_suffix(1);
  return decode(content, false, out);
}

bool decode_base64_url(std::string_view text, std::string* out) {
  return decode(without_line_ends(text), true, out);
}

}  // namespace keelson::auth
