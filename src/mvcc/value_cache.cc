#include "mvcc/value_cache.h"

#include "base/check.h"

namespace keelson::mvcc {

void ValueCache::added(KeyRecord* record, uint32_t size) {
  bytes_ += size;
  if (record->clock != KeyRecord::kNoClock) return;
  if (free_.empty()) {
    record->clock = static_cast<uint32_t>(clock_.size());
    clock_.push_back(record);
  } else {
    record->clock = free_.back();
    free_.pop_back();
    clock_[record->clock] = record;
  }
}

void ValueCache::drop(Version* version) {
  uintptr_t value = version->value.exchange(0, std::memory_order_acq_rel) & ~Version::kTouched;
  if (value == 0) return;
  CHECK(bytes_ >= version->size);
  bytes_ -= version->size;
  epochs_->retire_block(reinterpret_cast<void*>(value));
}

void ValueCache::forget(KeyRecord* record) {
  if (record->clock == KeyRecord::kNoClock) return;
  clock_[record->clock] = nullptr;
  free_.push_back(record->clock);
  record->clock = KeyRecord::kNoClock;
}

void ValueCache::evict() {
  if (bytes_ <= budget_) return;
  pressed_.store(true, std::memory_order_relaxed);
  // Two rounds: the first may only take the marks away.
  for (size_t left = 2 * clock_.size(); left > 0 && bytes_ > budget_; --left) {
    hand_ = hand_ + 1 < clock_.size() ? hand_ + 1 : 0;
    KeyRecord* record = clock_[hand_];
    if (!record) continue;
    Version* head = record->head.load(std::memory_order_relaxed);
    uintptr_t value = head->value.load(std::memory_order_relaxed);
    if (value & Version::kTouched) {
      head->value.fetch_and(~Version::kTouched, std::memory_order_relaxed);
      continue;
    }
    drop(head);
    forget(record);
  }
}

}  // namespace keelson::mvcc
