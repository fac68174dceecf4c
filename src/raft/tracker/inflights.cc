#include "raft/tracker/inflights.h"

#include <algorithm>

#include "base/check.h"

namespace keelson::raft::tracker {

void Inflights::add(Index index, uint64_t bytes) {
  CHECK(!full());
  if (static_cast<size_t>(count_) == ring_.size()) grow();
  ring_[(start_ + count_) % ring_.size()] = {index, bytes};
  ++count_;
  bytes_ += bytes;
}

void Inflights::free_up_to(Index index) {
  while (count_ > 0 && at(0).last <= index) {
    bytes_ -= at(0).bytes;
    start_ = (start_ + 1) % ring_.size();
    --count_;
  }
}

void Inflights::grow() {
  const size_t size = std::min<size_t>(std::max<size_t>(1, 2 * ring_.size()), max_count_);
  std::vector<Message> ring(size);
  for (int i = 0; i < count_; ++i) ring[i] = at(i);
  ring_ = std::move(ring);
  start_ = 0;
}

void Inflights::check_invariants() const {
  CHECK(0 <= count_);
  CHECK(static_cast<size_t>(count_) <= ring_.size());
  CHECK(count_ <= max_count_);
  uint64_t bytes = 0;
  for (int i = 0; i < count_; ++i) {
    bytes += at(i).bytes;
    if (i > 0) CHECK(at(i - 1).last < at(i).last);
  }
  CHECK(bytes == bytes_);
}

}  // namespace keelson::raft::tracker
