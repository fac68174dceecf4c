// raft/tracker/inflights.h
//
// Inflights: the window of append messages sent to one follower and not yet acknowledged, bounded
// by count and, softly, by bytes (a message may bring it from below the limit to above).

#pragma once

#include <cstdint>
#include <vector>

#include "base/ids.h"

namespace keelson::raft::tracker {

class Inflights {
 public:
  // max_bytes 0: no limit by bytes. REQUIRES: max_count > 0.
  Inflights(int max_count, uint64_t max_bytes) : max_count_(max_count), max_bytes_(max_bytes) {}

  // A message whose last entry is `index` leaves. REQUIRES: !full(); indexes increase.
  void add(Index index, uint64_t bytes);
  // Everything up to `index` was acknowledged.
  void free_up_to(Index index);

  bool full() const { return count_ == max_count_ || (max_bytes_ != 0 && bytes_ >= max_bytes_); }
  int count() const { return count_; }
  uint64_t bytes() const { return bytes_; }

  void check_invariants() const;

 private:
  struct Message {
    Index last;
    uint64_t bytes;
  };
  const Message& at(int i) const { return ring_[(start_ + i) % ring_.size()]; }
  void grow();

  int max_count_;
  uint64_t max_bytes_;
  // ring_[start_ .. start_ + count_) modulo its size. Grown on demand, because a process may hold
  // thousands of idle groups. Invariants: 0 <= count_ <= ring_.size() <= max_count_;
  // bytes_ is the sum over the window; last indexes increase.
  std::vector<Message> ring_;
  int start_ = 0;
  int count_ = 0;
  uint64_t bytes_ = 0;
};

}  // namespace keelson::raft::tracker
