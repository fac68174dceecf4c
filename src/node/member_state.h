// node/member_state.h
//
// What the rest of the member may see of the node at any time: a handful of numbers, each written
// by one lane and read by all. Together they are not one consistent picture; none needs to be.
//
// Threads: any.

#pragma once

#include <atomic>
#include <cstdint>

#include "base/ids.h"

namespace keelson::node {

// How often somebody was refused, by why.
struct Refusals {
  std::atomic<uint64_t> full{0};    // there was no room left
  std::atomic<uint64_t> share{0};   // there was, but not for a client that had so much
  std::atomic<uint64_t> behind{0};  // the store does not keep up
};

struct MemberState {
  // Written by the consensus lane.
  std::atomic<uint64_t> term{0};
  std::atomic<uint64_t> leader{0};  // 0: none known
  std::atomic<uint64_t> committed{0};
  std::atomic<uint64_t> leader_changes{0};
  std::atomic<uint64_t> slow_read_indexes{0};
  std::atomic<bool> log_stalled{false};          // the log's device does not get on (LogWatch)
  std::atomic<uint64_t> log_stalls{0};           // how often that has begun
  std::atomic<uint64_t> leaderships_yielded{0};  // because of it: attempts
  std::atomic<uint64_t> heartbeats_late{0};      // that left as the leader's (HeartbeatWatch)
  // Written by the apply lane.
  std::atomic<bool> is_learner{false};
  std::atomic<uint64_t> applied{0};
  std::atomic<bool> installs{false};        // a received state, just now
  std::atomic<uint64_t> leases_expired{0};  // and revoked for it, by this member as the leader
  // Written by the consensus lane: the store could lose so much of the log (LogDebt) that nothing
  // more may come in.
  std::atomic<bool> store_behind{false};
  // Written by the log lane: the log cannot grow, so writes are refused until it can.
  std::atomic<bool> disk_full{false};
  // Written by whoever archives the log, or nobody does: the log should keep what is from here on
  // (Wal::release_to() says for how long it does).
  std::atomic<uint64_t> log_needed_from{UINT64_MAX};
  // Written by the backend's threads: its files cannot grow, so no more changes are let in than it
  // can hold in memory.
  std::atomic<bool> store_full{false};
  bool no_space() const {
    return disk_full.load(std::memory_order_relaxed) || store_full.load(std::memory_order_relaxed);
  }
  // Counted by the gateways.
  std::atomic<uint64_t> proposals_failed{0};     // that timed out
  std::atomic<uint64_t> read_indexes_failed{0};  // batches of reads
  // Added to by the gateways, taken from when a proposal comes home; >= 0. Proposals that are under
  // way. What they cost is in the gateways' shares, which bound everything between the lanes.
  std::atomic<int64_t> proposals_pending{0};
  // By the gateways, with TooManyRequests.
  Refusals proposals_refused, reads_refused;
};

}  // namespace keelson::node
