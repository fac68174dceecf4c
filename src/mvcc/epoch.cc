#include "mvcc/epoch.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/check.h"

namespace keelson::mvcc {

Epochs::~Epochs() {
  for (const Retired& retired : retired_) free(retired);
  Slot* slot = slots_.load();
  while (slot) {
    CHECK(slot->entered.load() == 0);
    delete std::exchange(slot, slot->next);
  }
}

Epochs::Slot* Epochs::register_slot() const {
  std::lock_guard lock(registering_);
  for (Slot* slot = slots_.load(); slot; slot = slot->next) {
    bool taken = false;
    if (slot->taken.compare_exchange_strong(taken, true, std::memory_order_acq_rel)) return slot;
  }
  auto* slot = new Slot;
  slot->next = slots_.load();
  slots_.store(slot, std::memory_order_seq_cst);
  return slot;
}

void Epochs::advance() {
  uint64_t epoch = now_.load(std::memory_order_relaxed) + 1;
  now_.store(epoch, std::memory_order_seq_cst);
  if (retired_.size() > stamped_) {
    stamps_.push_back({epoch, retired_.size() - stamped_});
    stamped_ = retired_.size();
  }
  if (stamps_.empty()) return;

  uint64_t oldest = oldest_reader();
  while (!stamps_.empty() && stamps_.front().epoch <= oldest) {
    for (size_t n = stamps_.front().count; n > 0; --n) {
      free(retired_.front());
      retired_.pop_front();
      --stamped_;
    }
    stamps_.pop_front();
  }
}

uint64_t Epochs::oldest_reader() const {
  uint64_t oldest = UINT64_MAX;
  for (Slot* slot = slots_.load(std::memory_order_seq_cst); slot; slot = slot->next) {
    uint64_t entered = slot->entered.load(std::memory_order_seq_cst);
    if (entered != 0) oldest = std::min(oldest, entered);
  }
  return oldest;
}

int64_t Epochs::lowest_pin() const {
  int64_t lowest = kNoPin;
  for (Slot* slot = slots_.load(std::memory_order_seq_cst); slot; slot = slot->next) {
    lowest = std::min(lowest, slot->pinned.load(std::memory_order_seq_cst));
  }
  return lowest;
}

void Epochs::free(const Retired& retired) {
  if (retired.size == 0) {
    Bytes::adopt(retired.memory, 0);  // drops the reference
  } else {
    slab_->free(retired.memory, retired.size);
  }
}

}  // namespace keelson::mvcc
