#include "base/line_budget.h"

#include <algorithm>

#include "base/check.h"
#include "base/log.h"

namespace keelson {

LineBudget::LineBudget(const Clock& clock, Executor* lane, Options options)
    : clock_(clock),
      lane_(*lane),
      options_(options),
      used_until_(clock.now().since_origin.count()) {
  CHECK(options.bytes_per_second > 0);
  CHECK(options.bytes_at_once > 0);
}

Duration LineBudget::price(int64_t bytes) const {
  constexpr int64_t kMost = int64_t{1} << 32;  // so that the product fits
  const Duration second = std::chrono::seconds(1);
  return second * std::min(bytes, kMost) / options_.bytes_per_second;
}

bool LineBudget::may_write() {
  const Duration used{used_until_.load(std::memory_order_relaxed)};
  if (used - clock_.now().since_origin < price(options_.bytes_at_once)) return true;
  leave_out();
  return false;
}

bool may_warn(LineBudget* lines) {
  return log::enabled(log::Level::kWarn) && (lines == nullptr || lines->may_write());
}

void LineBudget::written(size_t bytes) {
  const Duration::rep more = price(static_cast<int64_t>(bytes)).count();
  const Duration::rep now = clock_.now().since_origin.count();
  Duration::rep used = used_until_.load(std::memory_order_relaxed);
  while (!used_until_.compare_exchange_weak(used, std::max(used, now) + more,
                                            std::memory_order_relaxed)) {
  }
}

void LineBudget::leave_out() {
  if (left_out_.fetch_add(1, std::memory_order_relaxed) > 0) return;
  lane_.post_after(std::chrono::seconds(1), [this] { tell(); });
}

void LineBudget::tell() {
  const uint64_t lines = left_out_.exchange(0, std::memory_order_relaxed);
  CHECK(lines > 0);
  log::warn("there was more to say of requests than the log takes", {{"lines-left-out", lines}});
}

}  // namespace keelson
