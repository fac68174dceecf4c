// net/hpack_huffman.h
//
// The code in which HPACK spells texts (RFC 7541, 5.2 and appendix B): the frequent bytes in 5 to 8
// bits, others in up to 30.
//
// Threads: any.

#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace keelson::net {

// What so many bytes of code may stand for.
constexpr size_t most_decoded(size_t coded) { return coded * 8 / 5; }
constexpr size_t least_decoded(size_t coded) { return coded == 0 ? 0 : (coded * 8 - 7) / 30; }

// Into `out`, which has room for most_decoded(). Returns how much it was; nullopt: what is there is
// no code, or ends in anything but the padding that it must have.
std::optional<size_t> decode_huffman(std::string_view coded, char* out);

}  // namespace keelson::net
