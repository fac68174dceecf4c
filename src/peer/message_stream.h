// peer/message_stream.h
//
// The "message" stream (docs/formats/peer.md): an 8-byte big-endian length, then a raftpb.Message,
// over and over. The same frame opens the body of a snapshot.
//
// Bounds: a decoder holds what has arrived of one message and what that message decodes to, both at
//   most its limit.
// Threads: one caller at a time.
// Errors: ResourceExhausted for what is over the limit, InvalidArgument for what is no message. An
//   error is for good: where the next message begins is not known, so the connection must end.

#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "peer/gather.h"
#include "raft/types.h"

namespace keelson::peer {

// The most that a message may take, on the wire and decoded. It is etcd's number: an etcd leader
// replicates whatever its own --max-request-bytes let in, and a follower that refuses an entry
// which the others have can never catch up.
inline constexpr size_t kMaxMessageSize = 512u << 20;
// The most that the message before a snapshot's database may take; etcd's number too.
inline constexpr size_t kMaxSnapshotMessageSize = 64u << 20;

// What keeps an idle stream alive. It is none of raft's, whose messages have a sender.
raft::Message link_heartbeat();
bool is_link_heartbeat(const raft::Message& message);

// The message as one frame.
Bytes encode_message(const raft::Message& message);

// A message that another member sent (a frame's inside, or the body of a POST to /raft). Refuses
// what does not travel (responses), a MsgApp whose entries do not follow on its index, and what
// would take more than `limit` bytes once decoded.
absl::StatusOr<raft::Message> decode_peer_message(std::string_view bytes, size_t limit);

class MessageDecoder {
 public:
  explicit MessageDecoder(size_t limit = kMaxMessageSize);

  // Takes bytes off the front of `*in`, up to the end of a message. None: `*in` is used up, and the
  // message goes on in the next piece.
  absl::StatusOr<std::optional<raft::Message>> next(std::string_view* in);

  // The stream may end here: no message is half-way.
  bool at_boundary() const { return error_.ok() && !in_message_ && gather_.untouched(); }

 private:
  absl::Status begin(std::string_view head);

  const size_t limit_;
  Gather gather_;
  bool in_message_ = false;  // the length is known: size <= limit_
  absl::Status error_;
};

}  // namespace keelson::peer
