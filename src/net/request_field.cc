#include "net/request_field.h"

#include <cstring>

namespace keelson::net {
namespace {

// All bytes but the control characters; of those the tab.
bool may_be(char c) {
  const auto byte = static_cast<uint8_t>(c);
  return (byte >= 0x20 || byte == '\t') && byte != 0x7f;
}

// Whether any of eight bytes is below 0x20, or 0x7f.
bool any_control(uint64_t eight) {
  constexpr uint64_t kOnes = 0x0101010101010101, kHighs = 0x8080808080808080;
  const uint64_t low = (eight - kOnes * 0x20) & ~eight;
  const uint64_t deletes = eight ^ (kOnes * 0x7f);
  return ((low | ((deletes - kOnes) & ~deletes)) & kHighs) != 0;
}

}  // namespace

bool RequestField::is_value(std::string_view value) {
  size_t at = 0;
  for (; at + 8 <= value.size(); at += 8) {
    uint64_t eight;
    std::memcpy(&eight, value.data() + at, sizeof eight);
    if (!any_control(eight)) continue;
    for (const char c : value.substr(at, 8)) {
      if (!may_be(c)) return false;
    }
  }
  for (; at < value.size(); ++at) {
    if (!may_be(value[at])) return false;
  }
  return true;
}

}  // namespace keelson::net
