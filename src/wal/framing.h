// wal/framing.h
//
// How a record lies in a segment: an 8-byte little-endian length field, the record, and zeros up to
// the next multiple of 8. So a length field never straddles a sector, and is there whole or not at
// all after a crash. Format: docs/formats/wal.md.

#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>

namespace keelson::wal {

static_assert(std::endian::native == std::endian::little, "the length field is written as it lies");

inline constexpr size_t kLengthFieldSize = 8;
// The smallest unit that a disk writes whole or not at all.
inline constexpr uint64_t kSectorSize = 512;

inline constexpr size_t padding_of(uint64_t record_size) { return (8 - record_size % 8) % 8; }

// The length field: the size in the low 56 bits; with padding, the top byte is 0x80 | padding.
inline constexpr uint64_t encode_length_field(uint64_t record_size) {
  const uint64_t padding = padding_of(record_size);
  return padding == 0 ? record_size : record_size | (0x80 | padding) << 56;
}

// The record size in a length field; nothing for a field that no writer makes.
inline constexpr std::optional<uint64_t> decode_length_field(uint64_t field) {
  const uint64_t size = field & ((uint64_t{1} << 56) - 1);
  if (encode_length_field(size) != field) return std::nullopt;
  return size;
}

inline uint64_t load_length_field(const char* at) {
  uint64_t field;
  std::memcpy(&field, at, sizeof(field));
  return field;
}

}  // namespace keelson::wal
