// peer/incoming_state.h
//
// IncomingState is what follows the message of a snapshot from another member: taken as it arrives,
// then made into a store, all of it on worker threads. What it is, a database or the files of a
// store, its kinds know.
//
// Order: write() any number of times, then finish(), or cancel() at any time.
// Threads: the peer loop; what is told comes there. While the index is made, one thread more.
// Lifetime: shared with the work under way. What
//   it has on the disk goes with it, unless it became a store.
// Bounds: waiting() bytes; the caller looks at it.

#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "base/workers.h"
#include "net/loop.h"
#include "node/received_state.h"
#include "peer/snapshot_home.h"
#include "raft/types.h"

namespace keelson::peer {

class IncomingState : public std::enable_shared_from_this<IncomingState> {
 public:
  struct Parts {
    Workers* workers;
    net::Loop* loop;
    SnapshotHome* home;
    raft::SnapshotMetadata at;
  };
  virtual ~IncomingState() = default;

  // `written` is called each time some of it is, with what went wrong, if so: once, and then no
  // more.
  void on_written(std::function<void(const absl::Status&)> written) {
    written_ = std::move(written);
  }
  void write(std::string bytes);
  // Handed to write() and not written yet.
  size_t waiting() const { return waiting_; }
  uint64_t size() const { return size_; }

  // All has come; a store is made of it. `saved` is called when it is all on the disk.
  using Made = absl::AnyInvocable<void(absl::StatusOr<node::ReceivedState>)>;
  void finish(absl::AnyInvocable<void()> saved, Made made);
  // Nothing more is told.
  void cancel();

 protected:
  explicit IncomingState(Parts parts) : parts_(std::move(parts)) {}

  // On whichever worker has it, one at a time and in order. After an error only remove() follows.
  virtual absl::Status take(std::string_view bytes) = 0;
  virtual absl::Status all_taken() = 0;
  // REQUIRES: all_taken().
  virtual absl::StatusOr<std::shared_ptr<backend::Backend>> make_store() = 0;
  // What must have been done before that store counts, and can be beside the making of its index:
  // on a thread of its own.
  virtual absl::Status settle(backend::Backend& store) { return absl::OkStatus(); }
  // What is on the disk and did not become a store. Also called by the destructors.
  virtual void remove() = 0;

  const Parts& parts() const { return parts_; }
  // Nobody wants it any more. Any thread.
  bool cancelled() const { return cancelled_; }

 private:
  void run(absl::AnyInvocable<void()> job);
  absl::StatusOr<node::ReceivedState> make_state();
  absl::Status open_state(node::ReceivedState* state);
  template <typename Body>
  void tell(Body body);

  const Parts parts_;
  std::atomic<bool> cancelled_{false};

  // On the loop.
  std::function<void(const absl::Status&)> written_;
  size_t waiting_ = 0;
  uint64_t size_ = 0;

  absl::Status error_;  // whichever worker has it
};

}  // namespace keelson::peer
