// base/random.h
//
// Randomness comes in through this interface; nothing draws from a global source.

#pragma once

#include <cstdint>

namespace keelson {

class Random {
 public:
  virtual ~Random() = default;
  // 64 uniformly random bits. One caller at a time.
  virtual uint64_t next() = 0;
  // Uniform in [0, n). REQUIRES: n > 0. The bias for n far below 2^64 is negligible.
  uint64_t below(uint64_t n) {
    return static_cast<uint64_t>((static_cast<unsigned __int128>(next()) * n) >> 64);
  }
};

// SplitMix64: tiny, fast, good enough for jitter, ids and tests; never for secrets.
class SeededRandom final : public Random {
 public:
  explicit SeededRandom(uint64_t seed) : state_(seed) {}
  uint64_t next() override {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

 private:
  uint64_t state_;
};

}  // namespace keelson
