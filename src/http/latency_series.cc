#include "http/latency_series.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace keelson::http {
namespace {

int64_t whole(MonotonicTime now, Duration unit) { return now.since_origin / unit; }

}  // namespace

void LatencyCounts::add(Duration took) {
  const auto micros = static_cast<uint64_t>(std::max<int64_t>(took.count() / 1000, 0));
  const auto width = static_cast<size_t>(std::bit_width(micros));
  ++buckets[std::min(width == 0 ? 0 : width - 1, kBuckets - 1)];
  sum += static_cast<double>(micros);
  squares += static_cast<double>(micros) * static_cast<double>(micros);
}

void LatencyCounts::add(const LatencyCounts& other) {
  for (size_t i = 0; i < kBuckets; ++i) buckets[i] += other.buckets[i];
  sum += other.sum;
  squares += other.squares;
}

uint64_t LatencyCounts::count() const {
  uint64_t all = 0;
  for (const uint64_t n : buckets) all += n;
  return all;
}

double LatencyCounts::mean() const {
  const auto all = static_cast<double>(count());
  return all == 0 ? 0 : sum / all;
}

double LatencyCounts::deviation() const {
  const auto all = static_cast<double>(count());
  return all == 0 ? 0 : std::sqrt(std::max(squares / all - mean() * mean(), 0.0));
}

uint64_t LatencyCounts::median() const {
  const double half = static_cast<double>(count()) / 2;
  double below = 0;
  for (size_t i = 0; i < kBuckets; ++i) {
    const auto here = static_cast<double>(buckets[i]);
    if (here > 0 && below + here >= half) {
      const auto low = static_cast<double>(lower_bound(i));
      const auto high = static_cast<double>(lower_bound(i + 1));
      return static_cast<uint64_t>(std::lround(low + (high - low) * (half - below) / here));
    }
    below += here;
  }
  return 0;
}

void LatencySeries::count(Ring& ring, int64_t unit, const LatencyCounts& one) {
  Cell& cell = ring[static_cast<size_t>(unit) % ring.size()];
  if (cell.unit != unit) cell = {.unit = unit};
  for (size_t i = 0; i < cell.buckets.size(); ++i) {
    cell.buckets[i] += static_cast<uint32_t>(one.buckets[i]);
  }
  cell.sum += one.sum;
  cell.squares += one.squares;
}

LatencyCounts LatencySeries::sum_of(const Ring& ring, int64_t unit) {
  LatencyCounts out;
  for (const Cell& cell : ring) {
    if (cell.unit < 0 || cell.unit <= unit - static_cast<int64_t>(ring.size())) continue;
    for (size_t i = 0; i < cell.buckets.size(); ++i) out.buckets[i] += cell.buckets[i];
    out.sum += cell.sum;
    out.squares += cell.squares;
  }
  return out;
}

void LatencySeries::add(Duration took, MonotonicTime now) {
  LatencyCounts one;
  one.add(took);
  count(seconds_, whole(now, std::chrono::seconds(1)), one);
  count(minutes_, whole(now, std::chrono::minutes(1)), one);
  total_.add(one);
}

LatencyCounts LatencySeries::over(Window window, MonotonicTime now) const {
  switch (window) {
    case Window::kMinute:
      return sum_of(seconds_, whole(now, std::chrono::seconds(1)));
    case Window::kHour:
      return sum_of(minutes_, whole(now, std::chrono::minutes(1)));
    case Window::kTotal:
      break;
  }
  return total_;
}

}  // namespace keelson::http
