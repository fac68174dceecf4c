// base/key_range.h
//
// The keys that a request of etcd's names: a key, and where the range ends. No end: the one key. An
// end of one zero byte: all keys from the first on. Else the keys in [begin, end), none if the end
// is not above the begin.
//
// Threads: plain values. Lifetime: views into the request.

#pragma once

#include <string_view>

namespace keelson {

struct KeyRange {
  std::string_view begin, end;

  bool single() const { return end.empty(); }
  bool open_ended() const { return end.size() == 1 && end[0] == '\0'; }
  bool past_end(std::string_view key) const { return !open_ended() && key >= end; }
  bool contains(std::string_view key) const {
    return single() ? key == begin : key >= begin && !past_end(key);
  }
};

}  // namespace keelson
