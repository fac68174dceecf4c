// node/request_ids.h
//
// Unique numbers for requests and chosen leases, in etcd's form (pkg/idutil): two bytes of the
// member's id, five of the start time in milliseconds, then a count that carries into the time. Ids
// made after a restart differ from all made before, and those of two members differ.
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
        suffix_((static_cast<uint64_t>(unix_time.count() / 1'000'000) & 0xff'ffff'ffff) << 8) {}

  // The first of kBlock consecutive suffixes.
  uint64_t next_block() { return suffix_.fetch_add(kBlock, std::memory_order_relaxed); }
  uint64_t id(uint64_t suffix) const { return prefix_ | (suffix & 0xffff'ffff'ffff); }

 private:
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
