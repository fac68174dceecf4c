// ctl/keys.h
//
// Ranges of keys as etcd's API writes them.

#pragma once

#include <string>
#include <string_view>

namespace keelson::ctl {

// The range end that means "every key from here on", and the key that means "the first".
inline std::string zero_byte() { return std::string(1, '\0'); }

// The end of the range of all keys that start with `prefix`: its last byte below 0xff raised by
// one, what follows cut off; the zero byte if there is no such byte.
inline std::string prefix_end(std::string_view prefix) {
  std::string end(prefix);
  while (!end.empty() && static_cast<unsigned char>(end.back()) == 0xff) end.pop_back();
  if (end.empty()) return zero_byte();
  end.back() = static_cast<char>(static_cast<unsigned char>(end.back()) + 1);
  return end;
}

}  // namespace keelson::ctl
