// base/endian.h
//
// Numbers as bytes in a given order, for formats that fix one: big-endian in etcd's keys and
// contexts and in the frames of gRPC, little-endian in raft's read contexts. The only place that
// knows the order of this machine.
//
// Preconditions: `in` and `out` have room for the whole number. Neither needs any alignment.

#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>

namespace keelson {

static_assert(std::endian::native == std::endian::little, "the functions below swap or do not");

inline void store_big64(char* out, uint64_t value) {
  value = __builtin_bswap64(value);
  std::memcpy(out, &value, sizeof value);
}

inline void store_big32(char* out, uint32_t value) {
  value = __builtin_bswap32(value);
  std::memcpy(out, &value, sizeof value);
}

inline void store_little64(char* out, uint64_t value) { std::memcpy(out, &value, sizeof value); }

inline uint64_t load_big64(const char* in) {
  uint64_t value;
  std::memcpy(&value, in, sizeof value);
  return __builtin_bswap64(value);
}

inline uint32_t load_big32(const char* in) {
  uint32_t value;
  std::memcpy(&value, in, sizeof value);
  return __builtin_bswap32(value);
}

inline uint32_t load_little32(const char* in) {
  uint32_t value;
  std::memcpy(&value, in, sizeof value);
  return value;
}

inline uint64_t load_little64(const char* in) {
  uint64_t value;
  std::memcpy(&value, in, sizeof value);
  return value;
}

// The bytes as a string of their own.
inline std::string big64(uint64_t value) {
  std::string out(sizeof value, '\0');
  store_big64(out.data(), value);
  return out;
}

inline std::string big32(uint32_t value) {
  std::string out(sizeof value, '\0');
  store_big32(out.data(), value);
  return out;
}

}  // namespace keelson
