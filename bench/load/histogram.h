// bench/load/histogram.h
//
// Histogram counts durations in buckets that grow with the value: 64 to each power of two, so that
// a percentile is off by at most 1.6 % whatever its size, and recording one costs a few
// instructions.
//
// Units: nanoseconds. Threads: one.

#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

namespace keelson::bench {

class Histogram {
 public:
  void record(uint64_t ns) {
    ++counts_[bucket_of(ns)];
    ++count_;
    sum_ += ns;
    max_ = std::max(max_, ns);
  }
  void clear() { *this = Histogram(); }

  uint64_t count() const { return count_; }
  uint64_t max() const { return max_; }
  double mean() const {
    return count_ == 0 ? 0 : static_cast<double>(sum_) / static_cast<double>(count_);
  }

  // The value that a share of `q` (0 to 1) of all stays at or below; 0 when nothing was recorded.
  uint64_t quantile(double q) const {
    uint64_t rank = static_cast<uint64_t>(q * static_cast<double>(count_));
    uint64_t seen = 0;
    for (size_t i = 0; i < counts_.size(); ++i) {
      seen += counts_[i];
      if (seen > rank) return std::min(middle_of(i), max_);
    }
    return max_;
  }

 private:
  static constexpr int kBits = 6;
  static constexpr uint64_t kPerOctave = 1u << kBits;

  // Below 64 each value has its own bucket; above, the top seven bits choose.
  static size_t bucket_of(uint64_t v) {
    if (v < kPerOctave) return v;
    int shift = std::bit_width(v) - 1 - kBits;
    return static_cast<size_t>(shift) * kPerOctave + (v >> shift);
  }
  static uint64_t middle_of(size_t bucket) {
    if (bucket < 2 * kPerOctave) return bucket;
    uint64_t shift = bucket / kPerOctave - 1;
    uint64_t low = (bucket % kPerOctave + kPerOctave) << shift;
    return low + (uint64_t{1} << shift) / 2;
  }

  std::vector<uint64_t> counts_ = std::vector<uint64_t>(64 * kPerOctave);
  uint64_t count_ = 0;
  uint64_t sum_ = 0;
  uint64_t max_ = 0;
};

}  // namespace keelson::bench
