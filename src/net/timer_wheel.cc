#include "net/timer_wheel.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace keelson::net {

void Timer::cancel() {
  if (!wheel_) return;
  TimerWheel::unlink(this);
  --wheel_->armed_;
  wheel_ = nullptr;
}

TimerWheel::TimerWheel(MonotonicTime now)
    : next_tick_(static_cast<uint64_t>(now.since_origin.count() / kTick)) {}

TimerWheel::~TimerWheel() {
  for (Timer* head : slots_) {
    for (; head; head = head->next_) head->wheel_ = nullptr;
  }
}

size_t TimerWheel::drop_all() {
  size_t dropped = 0;
  for (size_t slot = 0; armed_ > 0; slot = (slot + 1) % kSlots) {
    while (Timer* timer = slots_[slot]) {
      timer->cancel();
      ++dropped;
      timer->on_drop();
    }
  }
  return dropped;
}

void TimerWheel::push(Timer** list, Timer* timer) {
  timer->link_ = list;
  timer->next_ = *list;
  if (timer->next_) timer->next_->link_ = &timer->next_;
  *list = timer;
}

void TimerWheel::unlink(Timer* timer) {
  *timer->link_ = timer->next_;
  if (timer->next_) timer->next_->link_ = timer->link_;
}

void TimerWheel::insert(Timer* timer) {
  size_t slot = timer->due_tick_ % kSlots;
  push(&slots_[slot], timer);
  used_[slot / 64] |= uint64_t{1} << (slot % 64);
}

void TimerWheel::arm(Timer* timer, MonotonicTime due) {
  timer->cancel();
  int64_t ticks = due.since_origin.count() / kTick;
  if (ticks * kTick != due.since_origin.count()) ++ticks;  // never early
  timer->due_tick_ = std::max(static_cast<uint64_t>(std::max<int64_t>(ticks, 0)), next_tick_);
  timer->wheel_ = this;
  ++armed_;
  insert(timer);
}

size_t TimerWheel::fire_slot(size_t slot, uint64_t now_tick) {
  uint64_t bit = uint64_t{1} << (slot % 64);
  if (!(used_[slot / 64] & bit)) return 0;
  used_[slot / 64] &= ~bit;
  // Taken out whole: what a callback arms for this slot belongs to a later turn, and what it
  // cancels leaves this list by its own link.
  Timer* firing = slots_[slot];
  slots_[slot] = nullptr;
  if (firing) firing->link_ = &firing;
  size_t fired = 0;
  while (firing) {
    Timer* timer = firing;
    unlink(timer);
    if (timer->due_tick_ > now_tick) {
      insert(timer);
      continue;
    }
    timer->wheel_ = nullptr;
    --armed_;
    ++fired;
    timer->on_timer();
  }
  return fired;
}

size_t TimerWheel::advance(MonotonicTime now) {
  uint64_t now_tick = static_cast<uint64_t>(now.since_origin.count() / kTick);
  if (now_tick < next_tick_) return 0;
  uint64_t first = next_tick_;
  uint64_t last = std::min(now_tick, first + kSlots - 1);
  next_tick_ = now_tick + 1;
  if (armed_ == 0) return 0;
  size_t fired = 0;
  for (uint64_t tick = first; tick <= last; ++tick) fired += fire_slot(tick % kSlots, now_tick);
  return fired;
}

std::optional<MonotonicTime> TimerWheel::next_due() const {
  if (armed_ == 0) return std::nullopt;
  for (uint64_t step = 0; step < kSlots;) {
    uint64_t tick = next_tick_ + step;
    size_t slot = tick % kSlots;
    uint64_t word = used_[slot / 64] >> (slot % 64);
    uint64_t in_word = 64 - slot % 64;
    if (word != 0) {
      tick += static_cast<uint64_t>(std::countr_zero(word));
      return MonotonicTime{Duration(static_cast<int64_t>(tick) * kTick)};
    }
    step += in_word;
  }
  return MonotonicTime{Duration(static_cast<int64_t>(next_tick_ + kSlots) * kTick)};
}

}  // namespace keelson::net
