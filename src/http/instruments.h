// http/instruments.h
//
// Counters, gauges and histograms cheap enough for every request: an update is one relaxed add on
// a cache line that, with few threads, no other thread touches. The sums are formed when somebody
// scrapes. (prometheus-cpp's own Counter is a compare-and-swap loop on a shared double.)
//
// Threads: updates and reads from any. A read sees every update that happened before it and maybe
//   some that run beside it; a histogram's count and sum may be that little apart.
// Units: histograms take raw integers (nanoseconds for durations) and hold a scale that turns
//   them into the unit of the metric's name when read.

#pragma once

#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/clock.h"

namespace keelson::http {

// How many copies of each cell there are. Threads share them in turn; sharing costs time, never
// counts.
inline constexpr size_t kCellShards = 8;

// The copy that the calling thread adds to.
size_t cell_shard();

// A fixed number of sums, each spread over kCellShards cache-line-separated copies.
class Cells {
 public:
  explicit Cells(size_t count);

  void add(size_t cell, uint64_t amount) {
    cells_[cell_shard() * stride_ + cell].fetch_add(amount, std::memory_order_relaxed);
  }
  uint64_t sum(size_t cell) const;
  size_t count() const { return count_; }

 private:
  struct FreeAligned {
    void operator()(std::atomic<uint64_t>* cells) const;
  };

  const size_t count_;
  const size_t stride_;  // cells from one copy to the next, a whole number of cache lines
  std::unique_ptr<std::atomic<uint64_t>[], FreeAligned> cells_;
};

class Counter {
 public:
  void add(uint64_t amount = 1) { cells_.add(0, amount); }
  double value() const { return static_cast<double>(cells_.sum(0)); }

 private:
  Cells cells_{1};
};

// A value that goes up and down. set() by one owner; add() by any.
class Gauge {
 public:
  void set(int64_t value) { value_.store(value, std::memory_order_relaxed); }
  template <std::floating_point T>
  void set(T) = delete;  // would be cut: count in a smaller unit
  void add(int64_t amount) { value_.fetch_add(amount, std::memory_order_relaxed); }
  double value() const { return static_cast<double>(value_.load(std::memory_order_relaxed)); }

 private:
  std::atomic<int64_t> value_{0};
};

// `count` upper bounds: start, start × factor, start × factor², …
std::vector<double> exponential_bounds(double start, double factor, int count);

class Histogram {
 public:
  // `bounds` are rising upper bounds in the metric's unit; `raw_per_unit` is how many raw steps
  // make one such unit (1e9 for seconds observed as nanoseconds).
  Histogram(std::vector<double> bounds, double raw_per_unit);

  // `times` equal observations cost what one does.
  void observe(uint64_t raw, uint64_t times = 1);
  void observe(Duration duration, uint64_t times = 1) {
    observe(duration.count() > 0 ? static_cast<uint64_t>(duration.count()) : 0, times);
  }

  // What a scrape shows. cumulative[i] counts the observations <= bounds[i].
  struct Reading {
    std::vector<uint64_t> cumulative;
    uint64_t count = 0;
    double sum = 0;
  };
  Reading read() const;
  const std::vector<double>& bounds() const { return bounds_; }

 private:
  const std::vector<double> bounds_;
  const double raw_per_unit_;
  std::vector<uint64_t> raw_bounds_;
  Cells cells_;  // one per bound, one past the last, one for the sum
};

}  // namespace keelson::http
