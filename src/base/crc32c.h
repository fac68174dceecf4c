// base/crc32c.h
//
// CRC-32C (Castagnoli), as in RFC 3720. Values are in the usual finished form, so a sum can be
// carried on: extend(extend(0, a), b) == extend(0, a + b). The same as Go's
// crc32.Update(crc, castagnoli, bytes), which etcd's log and hashes use.

#pragma once

#include <cstdint>
#include <string_view>

namespace keelson::crc32c {

uint32_t extend(uint32_t crc, std::string_view bytes);

// The sum of `a` followed by `b` from the sums of each: extend(0, a + b). O(log b_size).
uint32_t combine(uint32_t a_crc, uint32_t b_crc, uint64_t b_size);

}  // namespace keelson::crc32c
