// peer/snapshot_body.h
//
// The body of a POST to /raft/snapshot: the MsgSnap as one frame of the "message" stream, then the
// bytes of a database file (etcd's, see boltfile/) up to the end of the body.
//
// Bounds: the message is held (kMaxSnapshotMessageSize at most), the database is handed on piece by
//   piece and never gathered.
// Threads: one caller at a time.
// Failure: the body says nothing of the database's size or sum; HTTP's framing tells that it is
//   whole. Call finish() only after a body that ended as it should. The sink drops what it took
//   unless it is told end().

#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "base/bytes.h"
#include "peer/answers.h"
#include "peer/message_stream.h"
#include "raft/types.h"

namespace keelson::peer {

class SnapshotSink {
 public:
  virtual ~SnapshotSink() = default;
  // A MsgSnap with a snapshot in it. Once, before everything else.
  virtual absl::Status begin(raft::Message message) = 0;
  // The next bytes of the database; never none.
  virtual absl::Status write(std::string_view bytes) = 0;
  // The database is whole.
  virtual absl::Status end() = 0;
};

// What stands before the database. REQUIRES: `message` is a MsgSnap.
Bytes encode_snapshot_head(const raft::Message& message);

class SnapshotBodyDecoder {
 public:
  // `sink` must outlive this.
  explicit SnapshotBodyDecoder(SnapshotSink* sink) : sink_(sink) {}

  // Takes the next piece of the body, all of it. Errors are for good: InvalidArgument or
  // ResourceExhausted for a body that is none, the sink's own otherwise.
  absl::Status take(std::string_view bytes);
  // The body has ended. InvalidArgument when it ended too early.
  absl::Status finish();

  // What the sender is told after an error, in etcd's words: 400 for its fault, 500 for ours.
  // REQUIRES: take() or finish() failed.
  const Answer& answer() const { return answer_; }

 private:
  absl::Status take_message(std::string_view* bytes);
  absl::Status fail(absl::Status status, int code, std::string_view what);

  SnapshotSink* const sink_;
  MessageDecoder message_{kMaxSnapshotMessageSize};
  bool begun_ = false;    // the sink has the message
  bool written_ = false;  // and some of the database
  absl::Status error_;
  Answer answer_;
};

}  // namespace keelson::peer
