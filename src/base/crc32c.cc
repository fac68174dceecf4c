#include "base/crc32c.h"

#include <isa-l/crc.h>

namespace keelson::crc32c {
namespace {

// Polynomials modulo Castagnoli's, the highest bit of the word being x^0.
uint32_t multiply(uint32_t a, uint32_t b) {
  constexpr uint32_t kPolynomial = 0x82f63b78;
  uint32_t product = 0;
  for (uint32_t bit = uint32_t{1} << 31; bit != 0; bit >>= 1) {
    if (a & bit) product ^= b;
    b = b >> 1 ^ (b & 1 ? kPolynomial : 0);
  }
  return product;
}

}  // namespace

uint32_t extend(uint32_t crc, std::string_view bytes) {
  // ISA-L takes an int length and leaves the two inversions to the caller.
  constexpr size_t kMost = size_t{1} << 30;
  uint32_t state = ~crc;
  while (!bytes.empty()) {
    std::string_view part = bytes.substr(0, kMost);
    auto* data = reinterpret_cast<unsigned char*>(const_cast<char*>(part.data()));
    state = crc32_iscsi(data, static_cast<int>(part.size()), state);
    bytes.remove_prefix(part.size());
  }
  return ~state;
}

// What follows multiplies a sum by x^8 per byte, whatever the bytes are; the inversions cancel out.
uint32_t combine(uint32_t a_crc, uint32_t b_crc, uint64_t b_size) {
  uint32_t power = uint32_t{1} << 23;  // x^8, squared from step to step
  for (; b_size != 0; b_size >>= 1) {
    if (b_size & 1) a_crc = multiply(a_crc, power);
    power = multiply(power, power);
  }
  return a_crc ^ b_crc;
}

}  // namespace keelson::crc32c
