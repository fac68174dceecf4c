// node/request_ids.h
//
// Unique numbers for requests and chosen leases: two bytes of the member's id, as in etcd
// (pkg/idutil), then a count from a place of its own at each start. Ids of two members differ, and
// ids made after a restart do not meet those made before: an answer goes to who waits for its id,
// and what the log still holds of an earlier start may not answer somebody new. (etcd counts from
// the time in milliseconds. A clock that was set back, or more than 256 requests in each
// millisecond, would lead back to where the last start has been.)
//
// Threads: next_block() from any; a RequestIds belongs to one lane.

#pragma once

#include <atomic>
#include <cstdint>

#include "base/check.h"
#include "base/clock.h"
#include "base/ids.h"

namespace keelson::node {

class RequestIdSource {
 public:
  static constexpr uint64_t kBlock = 256;

  RequestIdSource(MemberId member, Duration unix_time)
      : prefix_((member.value & 0xffff) << 48),
        suffix_(spread(static_cast<uint64_t>(unix_time.count())) & 0xffff'ffff'ffff) {}

  // The first of kBlock consecutive suffixes.
  uint64_t next_block() { return suffix_.fetch_add(kBlock, std::memory_order_relaxed); }
  uint64_t id(uint64_t suffix) const { return prefix_ | (suffix & 0xffff'ffff'ffff); }

 private:
  // Numbers that are near each other come to lie anywhere. Source: the finalizer of splitmix64.
  static constexpr uint64_t spread(uint64_t n) {
    n = (n ^ (n >> 30)) * 0xbf58476d1ce4e5b9;
    n = (n ^ (n >> 27)) * 0x94d049bb133111eb;
    return n ^ (n >> 31);
  }

  const uint64_t prefix_;
  std::atomic<uint64_t> suffix_;
};

// A lane's share: takes a block at a time, so that lanes do not meet at one counter.
class RequestIds {
 public:
  explicit RequestIds(RequestIdSource& source) : source_(source) {}

  // Never 0.
  uint64_t next() {
    if (next_ == end_) {
      next_ = source_.next_block();
      end_ = next_ + RequestIdSource::kBlock;
    }
    CHECK(next_ < end_);
    uint64_t id = source_.id(next_++);
    return id != 0 ? id : next();
  }

 private:
  RequestIdSource& source_;
  uint64_t next_ = 0;
  uint64_t end_ = 0;
};

}  // namespace keelson::node
