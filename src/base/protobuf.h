// base/protobuf.h
//
// The protobuf wire format by hand, for the few messages on the hot path: a key's stored form, a
// log entry, an answer built around shared buffers. Everything else uses libprotobuf.
// Format: https://protobuf.dev/programming-guides/encoding/ (varints, tags, length-delimited).
//
// Threads: plain values. Reader never reads past its input and rejects what it cannot parse.

#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace keelson::pb {

enum WireType : uint32_t {
  kVarint = 0,
  kFixed64 = 1,
  kBytes = 2,
  kGroup = 3,  // of old; read over as an unknown field, its end is kGroupEnd
  kGroupEnd = 4,
  kFixed32 = 5,
};

constexpr uint32_t tag(uint32_t field, WireType type) { return field << 3 | type; }

constexpr size_t varint_size(uint64_t v) {
  return v == 0 ? 1 : (static_cast<size_t>(std::bit_width(v)) + 6) / 7;
}

// Size of a field with its tag; a zero or empty value is not written, as proto3 has it.
constexpr size_t varint_field_size(uint32_t field, uint64_t v) {
  return v == 0 ? 0 : varint_size(tag(field, kVarint)) + varint_size(v);
}
// Size of a length-delimited field that is written even when empty.
constexpr size_t bytes_field_size(uint32_t field, size_t length) {
  return varint_size(tag(field, kBytes)) + varint_size(length) + length;
}

// Each writes at `out` and returns the place after. REQUIRES: there is room.
inline char* write_varint(char* out, uint64_t v) {
  while (v >= 0x80) {
    *out++ = static_cast<char>(v | 0x80);
    v >>= 7;
  }
  *out++ = static_cast<char>(v);
  return out;
}
inline char* write_varint_field(char* out, uint32_t field, uint64_t v) {
  if (v == 0) return out;
  return write_varint(write_varint(out, tag(field, kVarint)), v);
}
// The tag and length of a length-delimited field whose content follows.
inline char* write_bytes_head(char* out, uint32_t field, size_t length) {
  return write_varint(write_varint(out, tag(field, kBytes)), length);
}
inline char* write_bytes_field(char* out, uint32_t field, std::string_view bytes) {
  out = write_bytes_head(out, field, bytes.size());
  if (!bytes.empty()) std::memcpy(out, bytes.data(), bytes.size());
  return out + bytes.size();
}

// The same onto a string.
inline void append_varint(std::string& out, uint64_t v) {
  char buffer[10];
  out.append(buffer, static_cast<size_t>(write_varint(buffer, v) - buffer));
}
inline void append_varint_field(std::string& out, uint32_t field, uint64_t v) {
  if (v == 0) return;
  append_varint(out, tag(field, kVarint));
  append_varint(out, v);
}
inline void append_bytes_head(std::string& out, uint32_t field, size_t length) {
  append_varint(out, tag(field, kBytes));
  append_varint(out, length);
}
inline void append_bytes_field(std::string& out, uint32_t field, std::string_view bytes) {
  append_bytes_head(out, field, bytes.size());
  out.append(bytes);
}

// One field of a message as read.
struct Field {
  uint32_t number = 0;
  WireType type = kVarint;
  uint64_t value = 0;      // kVarint, kFixed64, kFixed32
  std::string_view bytes;  // kBytes; points into the reader's input

  // A field of another type than the schema's is an unknown one to every protobuf library: ask this
  // before the content is used.
  bool is(uint32_t n, WireType t) const { return number == n && type == t; }
};

// Walks the fields of one message: `while (r.next(&f)) …; if (!r.ok()) malformed`. It refuses what
// Go's google.golang.org/protobuf refuses, so it is for what clients send, and goes less deep into
// groups. kAsGogo: it takes whatever the code takes that gogo/protobuf 1.3.2 generates, which etcd
// up to 3.6 reads by: unknown fields of those forms stand in the log and in records as they came. A
// tag has 64 bits there, of which the field's number is what 32 hold; a number's bits beyond the
// 64th are dropped; a group ends where as many have ended as were begun.
template <bool kAsGogo>
class BasicReader {
 public:
  explicit BasicReader(std::string_view input) : at_(input.data()), end_(at_ + input.size()) {}

  // False at the end, and at the first malformed field (then ok() is false).
  bool next(Field* field) {
    if (at_ == end_) return false;
    if (!key(field)) return fail();
    if (field->type == kGroup) return skip_group(field->number) || fail();
    return content(field) || fail();
  }
  bool ok() const { return ok_; }

 private:
  // Of groups within groups, where their numbers have to be remembered.
  static constexpr size_t kMostGroups = 32;

  bool key(Field* field) {
    uint64_t key = 0;
    if (!varint(&key)) return false;
    if (!kAsGogo && key > UINT32_MAX) return false;
    field->number = static_cast<uint32_t>(key >> 3);
    field->type = static_cast<WireType>(key & 7);
    return static_cast<int32_t>(field->number) > 0;
  }
  bool content(Field* field) {
    switch (field->type) {
      case kVarint:
        return varint(&field->value);
      case kFixed64:
        return fixed(8, &field->value);
      case kFixed32:
        return fixed(4, &field->value);
      case kBytes: {
        uint64_t length = 0;
        if (!varint(&length) || length > static_cast<uint64_t>(end_ - at_)) return false;
        field->bytes = {at_, static_cast<size_t>(length)};
        at_ += length;
        return true;
      }
      case kGroup:
      case kGroupEnd:
        break;
    }
    return false;
  }
  bool skip_group(uint32_t number) {
    if constexpr (kAsGogo) return skip_unnamed_group();
    uint32_t open[kMostGroups] = {number};
    size_t depth = 1;
    while (depth > 0) {
      Field inner;
      if (at_ == end_ || !key(&inner)) return false;
      if (inner.type == kGroup) {
        if (depth == kMostGroups) return false;
        open[depth++] = inner.number;
      } else if (inner.type == kGroupEnd) {
        if (open[--depth] != inner.number) return false;
      } else if (!content(&inner)) {
        return false;
      }
    }
    return true;
  }
  // Within a group nobody looks at the numbers of fields, not even whether they are one.
  bool skip_unnamed_group() {
    for (size_t depth = 1; depth > 0;) {
      uint64_t key = 0;
      if (at_ == end_ || !varint(&key)) return false;
      Field inner;
      inner.type = static_cast<WireType>(key & 7);
      if (inner.type == kGroup) {
        ++depth;
      } else if (inner.type == kGroupEnd) {
        --depth;
      } else if (!content(&inner)) {
        return false;
      }
    }
    return true;
  }
  bool fail() {
    ok_ = false;
    at_ = end_;
    return false;
  }
  bool varint(uint64_t* v) {
    *v = 0;
    for (int shift = 0; shift < 64 && at_ != end_; shift += 7) {
      uint64_t byte = static_cast<uint8_t>(*at_++);
      *v |= (byte & 0x7f) << shift;
      if (byte < 0x80) return kAsGogo || shift < 63 || byte <= 1;  // no bit beyond the 64th
    }
    return false;
  }
  bool fixed(size_t size, uint64_t* v) {
    if (static_cast<size_t>(end_ - at_) < size) return false;
    *v = 0;
    std::memcpy(v, at_, size);  // little-endian, as the format
    at_ += size;
    return true;
  }

  const char* at_;
  const char* end_;
  bool ok_ = true;
};

using Reader = BasicReader<false>;
// Of what another member, or its files, may have passed on.
using LoggedReader = BasicReader<true>;

}  // namespace keelson::pb
