#include "http/instruments.h"

#include <algorithm>
#include <cmath>
#include <new>

#include "base/check.h"

namespace keelson::http {
namespace {

constexpr size_t kCellsPerLine = 64 / sizeof(std::atomic<uint64_t>);

size_t round_up_to_line(size_t cells) {
  return (cells + kCellsPerLine - 1) / kCellsPerLine * kCellsPerLine;
}

}  // namespace

size_t cell_shard() {
  static std::atomic<size_t> next{0};
  thread_local const size_t shard = next.fetch_add(1, std::memory_order_relaxed) % kCellShards;
  return shard;
}

Cells::Cells(size_t count) : count_(count), stride_(round_up_to_line(count)) {
  const size_t total = stride_ * kCellShards;
  void* memory = ::operator new (total * sizeof(std::atomic<uint64_t>), std::align_val_t{64});
  auto* cells = static_cast<std::atomic<uint64_t>*>(memory);
  for (size_t i = 0; i < total; ++i) new (cells + i) std::atomic<uint64_t>(0);
  cells_.reset(cells);
}

void Cells::FreeAligned::operator()(std::atomic<uint64_t>* cells) const {
  ::operator delete (cells, std::align_val_t{64});  // the cells themselves need no destruction
}

uint64_t Cells::sum(size_t cell) const {
  uint64_t sum = 0;
  for (size_t shard = 0; shard < kCellShards; ++shard) {
    sum += cells_[shard * stride_ + cell].load(std::memory_order_relaxed);
  }
  return sum;
}

std::vector<double> exponential_bounds(double start, double factor, int count) {
  std::vector<double> bounds;
  for (double bound = start; count > 0; --count, bound *= factor) bounds.push_back(bound);
  return bounds;
}

Histogram::Histogram(std::vector<double> bounds, double raw_per_unit)
    : bounds_(std::move(bounds)), raw_per_unit_(raw_per_unit), cells_(bounds_.size() + 2) {
  CHECK(std::is_sorted(bounds_.begin(), bounds_.end()));
  for (double bound : bounds_) {
    raw_bounds_.push_back(static_cast<uint64_t>(std::llround(bound * raw_per_unit_)));
  }
}

void Histogram::observe(uint64_t raw, uint64_t times) {
  const auto bound = std::lower_bound(raw_bounds_.begin(), raw_bounds_.end(), raw);
  cells_.add(static_cast<size_t>(bound - raw_bounds_.begin()), times);
  cells_.add(bounds_.size() + 1, raw * times);
}

Histogram::Reading Histogram::read() const {
  Reading reading;
  for (size_t i = 0; i < bounds_.size(); ++i) {
    reading.count += cells_.sum(i);
    reading.cumulative.push_back(reading.count);
  }
  reading.count += cells_.sum(bounds_.size());
  reading.sum = static_cast<double>(cells_.sum(bounds_.size() + 1)) / raw_per_unit_;
  return reading;
}

}  // namespace keelson::http
