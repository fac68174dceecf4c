// wire/test_odd_fields.h
//
// Unknown fields in forms that gogo/protobuf 1.3.2 takes and writes out again as they came, so that
// etcd up to 3.6 lets them into the log, and forms that it refuses. For tests.
//
// Threads: pure functions.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/protobuf.h"

namespace keelson::wire {

struct OddField {
  std::string what;
  std::string bytes;
  bool known_to_all = false;  // taken by Go's google.golang.org/protobuf, too
};

inline std::string varint_text(uint64_t value) {
  std::string out;
  pb::append_varint(out, value);
  return out;
}

// No message of etcd's has a field of this number.
inline constexpr uint64_t kNobodys = 99;

inline std::string odd_groups(size_t depth) {
  std::string out;
  for (size_t i = 0; i < depth; ++i) out += varint_text(kNobodys << 3 | pb::kGroup);
  for (size_t i = 0; i < depth; ++i) out += varint_text(kNobodys << 3 | pb::kGroupEnd);
  return out;
}

inline std::vector<OddField> odd_fields() {
  const std::string begin = varint_text(kNobodys << 3 | pb::kGroup);
  const std::string end = varint_text(kNobodys << 3 | pb::kGroupEnd);
  const std::string number = varint_text(kNobodys << 3);
  const std::string text = "\4root";
  return {
      {"a number", number + "\1", true},
      {"8 bytes", varint_text(kNobodys << 3 | pb::kFixed64) + std::string(8, '\xff'), true},
      {"4 bytes", varint_text(kNobodys << 3 | pb::kFixed32) + std::string(4, '\xff'), true},
      {"bytes", varint_text(kNobodys << 3 | pb::kBytes) + text, true},
      {"a group", begin + number + "\1" + end, true},
      {"an empty group", begin + end, true},
      {"the last number", varint_text(((1ull << 29) - 1) << 3) + "\1", true},
      {"a long tag", std::string("\x98\x86\x80\x80\0", 5) + "\1", true},
      {"a group that another ends", begin + varint_text(98 << 3 | pb::kGroupEnd)},
      {"number 0 in a group", begin + std::string("\0\1", 2) + end},
      {"deep groups", odd_groups(20'000)},
      {"number 2^29", varint_text(1ull << 32) + "\1"},
      {"number 2^31-1", varint_text(((1ull << 31) - 1) << 3) + "\1"},
      // In 32 bits these are a name's tags.
      {"bytes with a tag of 33 bits", varint_text(1ull << 32 | 1 << 3 | pb::kBytes) + text},
      {"bytes with number 2^29+2", varint_text(1ull << 32 | 2 << 3 | pb::kBytes) + text},
      {"a tag of 36 bits", varint_text(1ull << 35 | kNobodys << 3) + "\1"},
      {"a tag of 64 bits", varint_text(1ull << 63 | kNobodys << 3) + "\1"},
      {"bits beyond the 64th of a tag",
       std::string("\x98\x86\x80\x80\x80\x80\x80\x80\x80\x7e", 10) + "\1"},
      {"bits beyond the 64th", number + std::string(9, '\xff') + "\x7f"},
  };
}

// gogo refuses the message that holds one of these.
inline std::vector<OddField> refused_fields() {
  return {
      {"the end of no group", varint_text(kNobodys << 3 | pb::kGroupEnd)},
      {"a group without an end", varint_text(kNobodys << 3 | pb::kGroup)},
      {"a type that is none", varint_text(kNobodys << 3 | 6) + "\1"},
      {"number 0", std::string("\0\1", 2)},
      {"a number that is 0 in 32 bits", varint_text(1ull << 35) + "\1"},
      {"a number below 0 in 32 bits", varint_text(1ull << 34) + "\1"},
      {"eleven bytes of a number", varint_text(kNobodys << 3) + std::string(10, '\xff') + "\1"},
      {"bytes beyond the end", varint_text(kNobodys << 3 | pb::kBytes) + "\7root"},
      {"half a number", varint_text(kNobodys << 3 | pb::kFixed32) + "12"},
      {"a length below 0",
       varint_text(kNobodys << 3 | pb::kBytes) + varint_text(UINT64_MAX) + "root"},
  };
}

}  // namespace keelson::wire
