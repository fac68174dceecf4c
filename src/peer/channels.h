// peer/channels.h
//
// By which way a message goes to another member, and what becomes of it when that way is full.
//
// Threads: Outbox has one caller at a time; the rest are pure functions.

#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>

#include "raft/types.h"

namespace keelson::peer {

enum class Channel : uint8_t {
  kNone,           // goes nowhere: to nobody
  kAppendStream,   // "msgappv2"
  kMessageStream,  // "message"
  kPipeline,       // POST /raft
  kSnapshot,       // POST /raft/snapshot, with the database
};

// The streams that the other member has opened to us and that still stand.
struct OpenStreams {
  bool append = false;
  bool message = false;
};

Channel channel_for(const raft::Message& message, OpenStreams open);

// What raft is told of a message that was dropped or whose sending failed: it stops streaming
// entries to that member, and tries a snapshot again.
struct LossReport {
  bool unreachable = false;
  bool snapshot_failed = false;
};
// `kNone` loses nothing.
LossReport report_loss(const raft::Message& message, Channel channel);

// What may wait for one channel of one member.
struct OutboxLimits {
  size_t messages = 0;
  // Of encoded messages. A message over it goes through an empty outbox all the same: raft has no
  // smaller one to offer, and would repeat it for ever.
  size_t bytes = 0;
};
// Counts are etcd's. The bytes are ours: etcd lets 4096 messages wait however big they are.
inline constexpr OutboxLimits kStreamOutbox{.messages = 4096, .bytes = 64u << 20};
inline constexpr OutboxLimits kPipelineOutbox{.messages = 64, .bytes = 64u << 20};
// POSTs under way at once to one member.
inline constexpr size_t kPipelineConnections = 4;
// Messages received on one connection's behalf that wait for raft; more are dropped.
inline constexpr size_t kReceivedMessages = 4096;

// The messages that wait for one channel, in order. A new one that finds no room is dropped, never
// an older one: raft repeats itself, but what is sent must stay in order.
class Outbox {
 public:
  explicit Outbox(OutboxLimits limits) : limits_(limits) {}

  // False: it was dropped, and the caller reports the loss.
  bool push(raft::Message message);
  // The oldest; none when empty.
  std::optional<raft::Message> pop();
  // Drops everything: the connection has gone. Whether that lost any.
  bool clear();

  bool empty() const { return waiting_.empty(); }
  size_t size() const { return waiting_.size(); }
  size_t bytes() const { return bytes_; }

 private:
  struct Waiting {
    raft::Message message;
    size_t size;
  };

  void check_invariants() const;

  const OutboxLimits limits_;
  std::deque<Waiting> waiting_;  // size() <= limits_.messages
  size_t bytes_ = 0;             // sum of sizes; <= limits_.bytes unless one message alone is more
};

}  // namespace keelson::peer
