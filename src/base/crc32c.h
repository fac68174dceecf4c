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

}  // namespace keelson::crc32c
