#include "ctl/gotext.h"

#include <locale.h>
#include <wctype.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <limits>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "base/text.h"

namespace keelson::ctl {
namespace {

struct Rune {
  uint32_t value = 0;
  size_t size = 0;  // 0: the bytes are not UTF-8
};

Rune decode_rune(std::string_view s) {
  auto byte = [&](size_t i) { return static_cast<uint8_t>(s[i]); };
  auto follows = [&](size_t i) { return i < s.size() && (byte(i) & 0xc0) == 0x80; };
  uint8_t b = byte(0);
  if (b < 0x80) return {b, 1};
  if (b >= 0xc2 && b <= 0xdf && follows(1)) return {(b & 0x1fu) << 6 | (byte(1) & 0x3fu), 2};
  if (b >= 0xe0 && b <= 0xef && follows(1) && follows(2)) {
    uint32_t r = (b & 0x0fu) << 12 | (byte(1) & 0x3fu) << 6 | (byte(2) & 0x3fu);
    if (r >= 0x800 && (r < 0xd800 || r > 0xdfff)) return {r, 3};
  }
  if (b >= 0xf0 && b <= 0xf4 && follows(1) && follows(2) && follows(3)) {
    uint32_t r =
        (b & 0x07u) << 18 | (byte(1) & 0x3fu) << 12 | (byte(2) & 0x3fu) << 6 | (byte(3) & 0x3fu);
    if (r >= 0x10000 && r <= 0x10ffff) return {r, 4};
  }
  return {};
}

// Go prints letters, marks, numbers, punctuation and symbols as they are, but no space other than
// U+0020, no format character and nothing from the private planes; the C library counts some of
// those as printable.
bool is_printable(uint32_t rune) {
  if (rune < 0x80) return rune >= 0x20 && rune < 0x7f;
  if (rune == 0xa0 || rune == 0xad || rune == 0x2007 || rune == 0x202f || rune == 0xfeff) {
    return false;
  }
  if ((rune >= 0x200b && rune <= 0x200f) || (rune >= 0x202a && rune <= 0x202e)) return false;
  if ((rune >= 0x2060 && rune <= 0x206f) || (rune >= 0xe000 && rune <= 0xf8ff)) return false;
  if (rune >= 0xe0000) return false;
  static const locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
  if (utf8 == nullptr) return true;
  return iswprint_l(rune, utf8) != 0 && iswspace_l(rune, utf8) == 0;
}

std::string formatted(const char* format, uint64_t value) {
  std::array<char, 40> buffer;
  std::snprintf(buffer.data(), buffer.size(), format, static_cast<unsigned long long>(value));
  return buffer.data();
}

void quote_ascii_control(std::string& out, char c) {
  const char letter = c == '\a' ? 'a' : c == '\v' ? 'v' : escape_letter(c);
  out += letter != 0 ? std::string{'\\', letter} : formatted("\\x%02llx", static_cast<uint8_t>(c));
}

void append_utf8(std::string& out, uint32_t r) {
  if (r < 0x80) {
    out += static_cast<char>(r);
  } else if (r < 0x800) {
    out += static_cast<char>(0xc0 | r >> 6);
    out += static_cast<char>(0x80 | (r & 0x3f));
  } else if (r < 0x10000) {
    out += static_cast<char>(0xe0 | r >> 12);
    out += static_cast<char>(0x80 | (r >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (r & 0x3f));
  } else {
    out += static_cast<char>(0xf0 | r >> 18);
    out += static_cast<char>(0x80 | (r >> 12 & 0x3f));
    out += static_cast<char>(0x80 | (r >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (r & 0x3f));
  }
}

// The digits of \x41, é, \U0001f600 or \101, after their letter; nullopt if malformed.
std::optional<uint32_t> take_digits(std::string_view& s, size_t count, int base) {
  if (s.size() < count) return std::nullopt;
  auto value = parse_uint(s.substr(0, count), base);
  if (!value.ok()) return std::nullopt;
  s.remove_prefix(count);
  return static_cast<uint32_t>(*value);
}

bool take_numeric_escape(std::string_view& s, std::string& out) {
  char c = s.front();
  if (c == 'x' || (c >= '0' && c <= '7')) {
    if (c == 'x') s.remove_prefix(1);
    auto value = c == 'x' ? take_digits(s, 2, 16) : take_digits(s, 3, 8);
    if (!value.has_value() || *value > 255) return false;
    out += static_cast<char>(*value);
    return true;
  }
  if (c != 'u' && c != 'U') return false;
  s.remove_prefix(1);
  auto value = take_digits(s, c == 'u' ? 4 : 8, 16);
  if (!value.has_value() || *value > 0x10ffff || (*value >= 0xd800 && *value <= 0xdfff)) {
    return false;
  }
  append_utf8(out, *value);
  return true;
}

// One escape after its backslash.
bool take_escape(std::string_view& s, std::string& out) {
  if (s.empty()) return false;
  constexpr std::string_view kNames = "abfnrtv\\\"";
  constexpr std::string_view kValues = "\a\b\f\n\r\t\v\\\"";
  size_t at = kNames.find(s.front());
  if (at == std::string_view::npos) return take_numeric_escape(s, out);
  out += kValues[at];
  s.remove_prefix(1);
  return true;
}

absl::Status syntax_error(std::string_view function, std::string_view text, std::string_view what) {
  return absl::InvalidArgumentError(
      cat("strconv.", function, ": parsing ", go_quote(text), ": ", what));
}

int digit_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'z') return c - 'a' + 10;
  if (c >= 'A' && c <= 'Z') return c - 'A' + 10;
  return 99;
}

enum class Digits { kOk, kSyntax, kRange };

Digits read_digits(std::string_view text, int base, uint64_t& value) {
  value = 0;
  if (text.empty()) return Digits::kSyntax;
  bool too_large = false;
  for (char c : text) {
    int digit = digit_value(c);
    if (digit >= base) return Digits::kSyntax;
    too_large |= __builtin_mul_overflow(value, static_cast<uint64_t>(base), &value);
    too_large |= __builtin_add_overflow(value, static_cast<uint64_t>(digit), &value);
  }
  return too_large ? Digits::kRange : Digits::kOk;
}

}  // namespace

char escape_letter(char c) {
  switch (c) {
    case '\b':
      return 'b';
    case '\f':
      return 'f';
    case '\n':
      return 'n';
    case '\r':
      return 'r';
    case '\t':
      return 't';
    default:
      return 0;
  }
}

std::string go_quote(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    Rune rune = decode_rune(text);
    if (rune.size == 0) {
      out += formatted("\\x%02llx", static_cast<uint8_t>(text.front()));
      text.remove_prefix(1);
      continue;
    }
    if (rune.value == '"' || rune.value == '\\') {
      out += '\\';
      out += static_cast<char>(rune.value);
    } else if (is_printable(rune.value)) {
      out += text.substr(0, rune.size);
    } else if (rune.value < 0x80) {
      quote_ascii_control(out, static_cast<char>(rune.value));
    } else {
      out += formatted(rune.value < 0x10000 ? "\\u%04llx" : "\\U%08llx", rune.value);
    }
    text.remove_prefix(rune.size);
  }
  return out + '"';
}

absl::StatusOr<std::string> take_quoted(std::string_view& input) {
  if (input.empty()) return absl::InvalidArgumentError("unexpected EOF");
  char quote = input.front();
  if (quote != '"' && quote != '`') return absl::InvalidArgumentError("expected quoted string");
  std::string_view rest = input.substr(1);
  std::string out;
  while (!rest.empty() && rest.front() != quote) {
    char c = rest.front();
    rest.remove_prefix(1);
    if (quote == '"' && c == '\n') return absl::InvalidArgumentError("invalid syntax");
    if (quote == '`' || c != '\\') {
      out += c;
    } else if (!take_escape(rest, out)) {
      return absl::InvalidArgumentError("invalid syntax");
    }
  }
  if (rest.empty()) return absl::InvalidArgumentError("unexpected EOF");
  input = rest.substr(1);
  return out;
}

absl::StatusOr<uint64_t> parse_uint(std::string_view text, int base) {
  uint64_t value = 0;
  switch (read_digits(text, base, value)) {
    case Digits::kOk:
      return value;
    case Digits::kSyntax:
      return syntax_error("ParseUint", text, "invalid syntax");
    case Digits::kRange:
      break;
  }
  return syntax_error("ParseUint", text, "value out of range");
}

absl::StatusOr<int64_t> parse_int(std::string_view text, int base) {
  std::string_view digits = text;
  bool negative = !digits.empty() && digits.front() == '-';
  if (!digits.empty() && (digits.front() == '-' || digits.front() == '+')) digits.remove_prefix(1);
  uint64_t value = 0;
  Digits read = read_digits(digits, base, value);
  if (read == Digits::kSyntax) return syntax_error("ParseInt", text, "invalid syntax");
  uint64_t limit = uint64_t{1} << 63;
  if (read == Digits::kRange || value > limit || (!negative && value == limit)) {
    return syntax_error("ParseInt", text, "value out of range");
  }
  return static_cast<int64_t>(negative ? ~value + 1 : value);
}

absl::StatusOr<bool> parse_bool(std::string_view text) {
  for (std::string_view yes : {"1", "t", "T", "true", "TRUE", "True"}) {
    if (text == yes) return true;
  }
  for (std::string_view no : {"0", "f", "F", "false", "FALSE", "False"}) {
    if (text == no) return false;
  }
  return syntax_error("ParseBool", text, "invalid syntax");
}

std::string hex(uint64_t value) { return formatted("%llx", value); }
std::string hex16(uint64_t value) { return formatted("%016llx", value); }
std::string hex_wide(uint64_t value) { return formatted("%16llx", value); }

std::string escaped_hex(std::string_view bytes) {
  std::string out;
  for (char c : bytes) out += formatted("\\x%02llx", static_cast<uint8_t>(c));
  return out;
}

std::string human_bytes(uint64_t bytes) {
  if (bytes < 10) return cat(bytes, " B");
  constexpr std::array<const char*, 7> kUnits = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  double exponent = std::floor(std::log(static_cast<double>(bytes)) / std::log(1000.0));
  double value =
      std::floor(static_cast<double>(bytes) / std::pow(1000.0, exponent) * 10 + 0.5) / 10;
  std::array<char, 40> buffer;
  std::snprintf(buffer.data(), buffer.size(), value < 10 ? "%.1f %s" : "%.0f %s", value,
                kUnits[static_cast<size_t>(exponent)]);
  return buffer.data();
}

std::string base64(std::string_view bytes) { return absl::Base64Escape(to_absl(bytes)); }

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
  std::string out;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) out += separator;
    out += parts[i];
  }
  return out;
}

std::string_view trim_space(std::string_view text) {
  constexpr std::string_view kBlank = " \t\n\v\f\r";
  size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

}  // namespace keelson::ctl
