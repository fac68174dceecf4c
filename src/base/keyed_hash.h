// base/keyed_hash.h
//
// Hashes that whoever does not know the key can neither foretell nor aim at, however he chooses
// what is hashed: SipHash-2-4.
//
// Threads: any.
// Source: Aumasson and Bernstein, SipHash: a fast short-input PRF (2012).

#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace keelson {

using HashKey = std::array<uint64_t, 2>;

// Secret, from the system. Dies where there is none to be had.
HashKey random_hash_key();

uint64_t keyed_hash(const HashKey& key, std::string_view bytes);

}  // namespace keelson
