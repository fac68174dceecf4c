#include "base/crc32c.h"

#include <isa-l/crc.h>

namespace keelson::crc32c {

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

}  // namespace keelson::crc32c
