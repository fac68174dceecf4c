#include "server/go_values.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <optional>
#include <utility>

#include "base/text.h"

namespace keelson::server {
namespace {

absl::Status parse_error() { return absl::InvalidArgumentError("parse error"); }
absl::Status out_of_range() { return absl::InvalidArgumentError("value out of range"); }

int digit_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'z') return c - 'a' + 10;
  if (c >= 'A' && c <= 'Z') return c - 'A' + 10;
  return 99;
}

// Takes "0x", "0o", "0b" or a leading "0" off the front; anything else is decimal.
int take_base(std::string_view& text) {
  if (text.size() < 2 || text[0] != '0') return 10;
  const char kind = static_cast<char>(text[1] | 0x20);
  const int base = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 0;
  text.remove_prefix(base != 0 ? 2 : 1);
  return base != 0 ? base : 8;
}

struct Unit {
  std::string_view name;
  double nanoseconds;
};
// Longer names before their beginnings.
constexpr std::array<Unit, 8> kUnits = {{{"ns", 1},
                                         {"us", 1e3},
                                         {"\u00b5s", 1e3},
                                         {"\u03bcs", 1e3},
                                         {"ms", 1e6},
                                         {"s", 1e9},
                                         {"m", 60e9},
                                         {"h", 3600e9}}};

std::optional<double> take_unit(std::string_view& text) {
  for (const Unit& unit : kUnits) {
    if (!text.starts_with(unit.name)) continue;
    text.remove_prefix(unit.name.size());
    return unit.nanoseconds;
  }
  return std::nullopt;
}

// Digits with at most one point among them; nothing if there is no digit.
std::optional<long double> take_decimal(std::string_view& text) {
  long double value = 0, scale = 1;
  bool point = false, digits = false;
  while (!text.empty()) {
    const char c = text.front();
    if (c == '.' && !point) {
      point = true;
    } else if (c >= '0' && c <= '9') {
      digits = true;
      value = value * 10 + (c - '0');
      if (point) scale *= 10;
    } else {
      break;
    }
    text.remove_prefix(1);
  }
  if (!digits) return std::nullopt;
  return value / scale;
}

}  // namespace

absl::StatusOr<bool> parse_bool(std::string_view text) {
  for (std::string_view yes : {"1", "t", "T", "true", "TRUE", "True"}) {
    if (text == yes) return true;
  }
  for (std::string_view no : {"0", "f", "F", "false", "FALSE", "False"}) {
    if (text == no) return false;
  }
  return parse_error();
}

absl::StatusOr<uint64_t> parse_uint(std::string_view text) {
  if (text == "0") return 0;
  const bool decimal_zero = text.starts_with("0");
  const int base = take_base(text);
  uint64_t value = 0;
  char before = decimal_zero ? '0' : '_';  // an underscore must stand between digits
  bool overflow = false;
  for (char c : text) {
    if (c == '_' && decimal_zero && before != '_') {
      before = c;
      continue;
    }
    const int digit = digit_value(c);
    if (digit >= base) return parse_error();
    overflow |= __builtin_mul_overflow(value, static_cast<uint64_t>(base), &value);
    overflow |= __builtin_add_overflow(value, static_cast<uint64_t>(digit), &value);
    before = c;
  }
  if (text.empty() || before == '_') return parse_error();
  if (overflow) return out_of_range();
  return value;
}

absl::StatusOr<int64_t> parse_int(std::string_view text) {
  const bool negative = text.starts_with("-");
  if (negative || text.starts_with("+")) text.remove_prefix(1);
  absl::StatusOr<uint64_t> magnitude = parse_uint(text);
  if (!magnitude.ok()) return magnitude.status();
  const uint64_t limit = static_cast<uint64_t>(INT64_MAX) + (negative ? 1 : 0);
  if (*magnitude > limit) return out_of_range();
  return static_cast<int64_t>(negative ? 0 - *magnitude : *magnitude);
}

absl::StatusOr<Duration> parse_duration(std::string_view text) {
  const bool negative = text.starts_with("-");
  if (negative || text.starts_with("+")) text.remove_prefix(1);
  if (text == "0") return Duration(0);
  if (text.empty()) return parse_error();
  long double total = 0;
  while (!text.empty()) {
    std::optional<long double> number = take_decimal(text);
    if (!number) return parse_error();
    std::optional<double> unit = take_unit(text);
    if (!unit) return parse_error();
    total += *number * *unit;
  }
  if (total >= 9223372036854775807.0L) return parse_error();
  const auto nanoseconds = static_cast<int64_t>(total);
  return Duration(negative ? -nanoseconds : nanoseconds);
}

std::string duration_fault(std::string_view text) {
  std::string_view rest = text;
  if (rest.starts_with("-") || rest.starts_with("+")) rest.remove_prefix(1);
  while (take_decimal(rest)) {
    const std::string_view unit = rest.substr(0, rest.find_first_of(".0123456789"));
    if (unit.empty()) return cat("time: missing unit in duration ", quoted(text));
    std::string_view left = unit;
    if (!take_unit(left) || !left.empty()) {
      return cat("time: unknown unit ", quoted(unit), " in duration ", quoted(text));
    }
    rest.remove_prefix(unit.size());
  }
  return cat("time: invalid duration ", quoted(text));
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
  }
  return out;
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\r':
        out += "\\r";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
          char hex[8];
          std::snprintf(hex, sizeof hex, "\\x%02x", static_cast<unsigned char>(c));
          out += hex;
        } else {
          out += c;
        }
    }
  }
  return out + "\"";
}

std::vector<std::string> comma_parts(std::string_view text) {
  std::vector<std::string> parts;
  if (text.empty()) return parts;
  for (;;) {
    const size_t comma = text.find(',');
    parts.emplace_back(text.substr(0, comma));
    if (comma == std::string_view::npos) return parts;
    text.remove_prefix(comma + 1);
  }
}

std::vector<std::string> unique_comma_parts(std::string_view text) {
  std::vector<std::string> parts = comma_parts(text);
  std::sort(parts.begin(), parts.end());
  parts.erase(std::unique(parts.begin(), parts.end()), parts.end());
  return parts;
}

}  // namespace keelson::server
