// http/latency_series.h
//
// How long calls took: within the last minute, the last hour, and since the start, in buckets that
// are powers of two of microseconds (0-1, 2-3, 4-7, … as golang.org/x/net/trace has them).
//
// Threads: one.
// Bounds: 60 seconds and 60 minutes of counts, 24 KB, whatever is observed.

#pragma once

#include <array>
#include <cstdint>

#include "base/clock.h"

namespace keelson::http {

struct LatencyCounts {
  static constexpr size_t kBuckets = 38;

  std::array<uint64_t, kBuckets> buckets{};
  double sum = 0;      // of microseconds
  double squares = 0;  // of their squares

  void add(Duration took);
  void add(const LatencyCounts& other);
  uint64_t count() const;
  double mean() const;
  double deviation() const;
  // Estimated: between the bounds of its bucket in proportion.
  uint64_t median() const;
  // The first value of a bucket; of kBuckets: beyond the last.
  static uint64_t lower_bound(size_t bucket) { return bucket == 0 ? 0 : uint64_t{1} << bucket; }
};

class LatencySeries {
 public:
  enum class Window : uint8_t { kMinute, kHour, kTotal };

  void add(Duration took, MonotonicTime now);
  LatencyCounts over(Window window, MonotonicTime now) const;

 private:
  // A ring: the cell of a unit of time holds what was counted in it, or in one 60 units before.
  struct Cell {
    int64_t unit = -1;
    std::array<uint32_t, LatencyCounts::kBuckets> buckets{};
    double sum = 0;
    double squares = 0;
  };
  using Ring = std::array<Cell, 60>;

  static void count(Ring& ring, int64_t unit, const LatencyCounts& one);
  static LatencyCounts sum_of(const Ring& ring, int64_t unit);

  Ring seconds_, minutes_;
  LatencyCounts total_;
};

}  // namespace keelson::http
