// raft/test_seed.h
//
// Random tests print the seed they ran with; KEELSON_SEED=<n> runs one again.

#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>

#include "base/random.h"

namespace keelson::raft {

inline uint64_t test_seed() {
  const char* given = std::getenv("KEELSON_SEED");
  const uint64_t seed = given ? std::strtoull(given, nullptr, 10) : std::random_device()();
  std::printf("KEELSON_SEED=%llu\n", static_cast<unsigned long long>(seed));
  return seed;
}

}  // namespace keelson::raft
