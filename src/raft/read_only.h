// raft/read_only.h
//
// ReadOnly: linearizable reads that the leader has accepted and not yet confirmed (Raft thesis
// 6.4). Requests are numbered in order of arrival; a heartbeat carries the number of the newest,
// and a quorum that echoes number n confirms the leadership for all requests up to n.
//
// Threads: the node's lane. Part of the leader's state: gone with the leadership.

#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "raft/quorum/quorum.h"
#include "raft/types.h"

namespace keelson::raft {

// A MsgReadIndex on its way through the leader.
struct ReadRequest {
  MemberId from;    // this member, or the one that forwarded it
  Entries entries;  // one; its data is the application's context
};

class ReadOnly {
 public:
  struct Pending {
    ReadRequest request;
    Index index;  // the commit index when it arrived
  };

  void add(ReadRequest request, Index committed);
  // The newest request's number, to ride on heartbeats; none when nothing waits.
  std::optional<uint64_t> newest() const;
  // `from` has confirmed the leadership as of request `number`.
  void acknowledge(MemberId from, uint64_t number);
  // Takes out, in order, every request that a quorum of `voters` confirms.
  std::vector<Pending> confirm(const quorum::Joint& voters);

 private:
  std::deque<Pending> pending_;
  // Requests confirmed so far: pending_[i] has the number confirmed_ + 1 + i.
  uint64_t confirmed_ = 0;
  std::vector<std::pair<MemberId, uint64_t>> acks_;  // the highest number of each member
};

// The number as a heartbeat's context: eight bytes, little-endian, like etcd's.
Bytes encode_read_number(uint64_t number);
// None if a peer sent something else.
std::optional<uint64_t> decode_read_number(const Bytes& context);

}  // namespace keelson::raft
