// node/wait_table.h
//
// WaitTable holds what waits for an answer until a deadline, each under a ticket: whoever comes
// first, the answer or the deadline, takes it out, and the other finds nothing.
//
// Threads: one caller at a time. Cost: a few nanoseconds each way; a slot is used again, so memory
// is that of the most that ever waited at once.

#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/clock.h"

namespace keelson::node {

struct WaitTicket {
  uint32_t slot = 0;
  uint32_t turn = 0;  // of the slot's use; 0 is no ticket
};

template <typename Waiter>
class WaitTable {
 public:
  // REQUIRES: the deadline is not before the one added last.
  WaitTicket add(MonotonicTime deadline, Waiter waiter) {
    CHECK(newest_ == kNone || slots_[newest_].deadline <= deadline);
    const uint32_t at = free_slot();
    Slot& slot = slots_[at];
    slot.waiter.emplace(std::move(waiter));
    slot.deadline = deadline;
    slot.older = newest_;
    slot.newer = kNone;
    (newest_ == kNone ? oldest_ : slots_[newest_].newer) = at;
    newest_ = at;
    ++size_;
    return {at, slot.turn};
  }

  // Nothing if it was taken before.
  std::optional<Waiter> take(WaitTicket ticket) {
    CHECK(ticket.slot < slots_.size());
    Slot& slot = slots_[ticket.slot];
    if (slot.turn != ticket.turn) return std::nullopt;
    return remove(ticket.slot);
  }

  // The one that has waited longest, if its time is up.
  std::optional<Waiter> take_expired(MonotonicTime now) {
    if (oldest_ == kNone || slots_[oldest_].deadline > now) return std::nullopt;
    return remove(oldest_);
  }

  // REQUIRES: not empty.
  MonotonicTime next_deadline() const {
    CHECK(oldest_ != kNone);
    return slots_[oldest_].deadline;
  }
  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;

  struct Slot {
    std::optional<Waiter> waiter;  // none: the slot is free
    MonotonicTime deadline;
    uint32_t turn = 1;
    uint32_t older = kNone;
    uint32_t newer = kNone;
  };

  uint32_t free_slot() {
    if (free_.empty()) {
      slots_.emplace_back();
      return static_cast<uint32_t>(slots_.size() - 1);
    }
    const uint32_t at = free_.back();
    free_.pop_back();
    CHECK(!slots_[at].waiter.has_value());
    return at;
  }

  std::optional<Waiter> remove(uint32_t at) {
    Slot& slot = slots_[at];
    CHECK(slot.waiter.has_value());
    (slot.older == kNone ? oldest_ : slots_[slot.older].newer) = slot.newer;
    (slot.newer == kNone ? newest_ : slots_[slot.newer].older) = slot.older;
    std::optional<Waiter> waiter = std::exchange(slot.waiter, std::nullopt);
    if (++slot.turn == 0) slot.turn = 1;
    free_.push_back(at);
    --size_;
    CHECK(size_ + free_.size() == slots_.size());
    return waiter;
  }

  // Those in use are linked in the order of their deadlines.
  std::vector<Slot> slots_;
  std::vector<uint32_t> free_;
  uint32_t oldest_ = kNone;
  uint32_t newest_ = kNone;
  size_t size_ = 0;  // size_ + free_.size() == slots_.size()
};

}  // namespace keelson::node
