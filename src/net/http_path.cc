#include "net/http_path.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_split.h"
#include "base/text.h"

namespace keelson::net {
namespace {

std::optional<int> hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  if (lower >= 'a' && lower <= 'f') return lower - 'a' + 10;
  return std::nullopt;
}

bool is_alphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_one_of(char c, std::string_view set) { return set.find(c) != set.npos; }

// Go leaves these of its own accord …
bool is_left(char c) { return is_alphanumeric(c) || is_one_of(c, "-_.~$&+,/:;=@"); }
// … and those as well where they are written so.
bool may_be_written(char c) { return is_left(c) || is_one_of(c, "!'()*[]%"); }

}  // namespace

std::optional<std::string> meant_path(std::string_view path) {
  std::string out;
  out.reserve(path.size());
  for (size_t i = 0; i < path.size(); ++i) {
    if (path[i] != '%') {
      out += path[i];
      continue;
    }
    if (i + 2 >= path.size()) return std::nullopt;
    const std::optional<int> high = hex_digit(path[i + 1]), low = hex_digit(path[i + 2]);
    if (!high || !low) return std::nullopt;
    out += static_cast<char>(*high * 16 + *low);
    i += 2;
  }
  return out;
}

std::string written_path(std::string_view meant) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  for (const char c : meant) {
    const auto byte = static_cast<unsigned char>(c);
    if (is_left(c)) {
      out += c;
    } else {
      out += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
    }
  }
  return out;
}

std::string written_path(std::string_view written, std::string_view meant) {
  if (std::all_of(written.begin(), written.end(), may_be_written) &&
      meant_path(written) == std::string(meant)) {
    return std::string(written);
  }
  return written_path(meant);
}

std::string clean_path(std::string_view path) {
  std::vector<std::string_view> parts;
  for (absl::string_view part : absl::StrSplit(to_absl(path), '/', absl::SkipEmpty())) {
    if (part == ".") continue;
    if (part != "..") {
      parts.push_back(from_absl(part));
    } else if (!parts.empty()) {
      parts.pop_back();
    }
  }
  std::string out;
  for (std::string_view part : parts) out += cat("/", part);
  if (out.empty() || path.ends_with('/')) out += '/';
  return out;
}

std::string path_key(std::string_view written) {
  std::string out;
  for (absl::string_view part : absl::StrSplit(to_absl(written), '/')) {
    if (part.data() != written.data()) out += '/';
    std::string meant = meant_path(from_absl(part)).value_or(std::string(from_absl(part)));
    std::replace(meant.begin(), meant.end(), '/', '\0');
    out += meant;
  }
  return out;
}

bool is_plain_path(std::string_view path) {
  if (!path.starts_with('/')) return false;
  for (size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '%') return false;
    if (path[i] == '/' && i + 1 < path.size() && (path[i + 1] == '/' || path[i + 1] == '.')) {
      return false;
    }
  }
  return true;
}

}  // namespace keelson::net
