// net/held_bytes.h
//
// HeldBytes is what one connection makes the member hold of one sort: messages that come in and are
// not served yet, or answers that wait for the client to take them. It has a bound of its own, and
// the listener's connections together have another.
//
// Threads: one. The sum over the connections is shared between the loops, so it is told in steps
//   and within a step per connection of the truth.

#pragma once

#include <atomic>
#include <cstddef>

#include "base/check.h"

namespace keelson::net {

class HeldBytes {
 public:
  HeldBytes(std::atomic<size_t>* of_all, size_t most, size_t most_of_all)
      : of_all_(*of_all), most_(most), most_of_all_(most_of_all) {}
  ~HeldBytes() {
    CHECK(bytes_ == 0);
    of_all_.fetch_sub(told_);
  }
  HeldBytes(const HeldBytes&) = delete;
  HeldBytes& operator=(const HeldBytes&) = delete;

  size_t bytes() const { return bytes_; }

  // `more` would be too much. Not for the first of a connection that holds nothing: whatever size
  // it has, it is one. And what others hold is nothing to a connection that holds little.
  bool too_much(size_t more) const {
    if (bytes_ == 0) return false;
    if (bytes_ + more > most_) return true;
    return bytes_ + more > kLittle && of_all_.load(std::memory_order_relaxed) + more > most_of_all_;
  }

  // What was `before` is `after` now. False: that is more than before, and too much.
  bool change(size_t before, size_t after) {
    CHECK(bytes_ >= before);
    bytes_ = bytes_ - before + after;
    bool fits = bytes_ <= most_;
    const size_t apart = bytes_ > told_ ? bytes_ - told_ : told_ - bytes_;
    if (apart >= kStep) {
      const size_t all = of_all_.fetch_add(bytes_ - told_) + (bytes_ - told_);
      told_ = bytes_;
      fits &= all <= most_of_all_;
    }
    return fits || after <= before;
  }

 private:
  static constexpr size_t kStep = 64 << 10;
  static constexpr size_t kLittle = 1 << 20;

  std::atomic<size_t>& of_all_;
  const size_t most_;
  const size_t most_of_all_;
  size_t bytes_ = 0;
  size_t told_ = 0;  // to of_all_; within a step of bytes_
};

}  // namespace keelson::net
