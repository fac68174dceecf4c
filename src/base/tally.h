// base/tally.h
//
// A count with one writing thread that any thread may read: for metrics of a lane. Adding costs
// what adding to a plain number costs.

#pragma once

#include <atomic>
#include <cstdint>

namespace keelson {

class Tally {
 public:
  Tally() = default;
  Tally(const Tally& other) : value_(other) {}
  Tally& operator=(const Tally& other) { return set(other), *this; }

  void add(uint64_t n) { set(*this + n); }
  void set(uint64_t value) { value_.store(value, std::memory_order_relaxed); }
  void operator++() { add(1); }
  operator uint64_t() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

}  // namespace keelson
