// peer/incoming_snapshot.h
//
// IncomingSnapshot is one snapshot on its way from another member to this one's consensus.
//
// Threads: the peer loop. Lifetime: shared by its request, which may break off, and by the work on
//   its database, which goes on when the request was whole.

#pragma once

#include <memory>
#include <optional>
#include <string>

#include "net/http.h"
#include "peer/incoming_state.h"
#include "peer/raft_handlers.h"
#include "peer/snapshot_body.h"

namespace keelson::peer {

// What follows the message.
enum class SnapshotForm : uint8_t { kDatabase, kStoreFiles };

class IncomingSnapshot final : public SnapshotSink,
                               public std::enable_shared_from_this<IncomingSnapshot> {
 public:
  // `current`: where the one before is found, and this one to be, once it has begun.
  IncomingSnapshot(RunningHub hub, net::HttpReplyRef reply, SnapshotForm form,
                   std::weak_ptr<IncomingSnapshot>* current);

  // The body.
  void take(std::string_view bytes);
  void finish();
  void break_off();
  // It is not wanted any more.
  void put_out(std::string_view why);

 private:
  absl::Status begin(raft::Message message) override;
  absl::Status write(std::string_view bytes) override;
  absl::Status end() override;
  absl::Status admit(Hub* hub, const raft::Message& message);
  void hand_on();
  void written(const absl::Status& status);
  void saved();
  void made(absl::StatusOr<node::ReceivedState> state);
  void installed();
  void fail(const Answer& answer, std::string_view why);

  const RunningHub hub_;
  net::HttpReplyRef reply_;  // null once it is answered
  const SnapshotForm form_;
  std::weak_ptr<IncomingSnapshot>* const current_;
  SnapshotBodyDecoder decoder_{this};
  size_t head_bytes_ = 0;          // of the body; what counts is how many before begin()
  std::optional<Answer> refusal_;  // instead of the decoder's
  raft::Message message_;
  MonotonicTime began_{};
  std::string buffer_;  // of what follows the message; not handed on yet
  // Shared with its work; null before begin() and at the end.
  std::shared_ptr<IncomingState> state_;
};

}  // namespace keelson::peer
