// peer/snapshot_file.h
//
// SnapshotFile is a database that comes from another member: written to a file as it arrives, then
// made into a store, all of it on worker threads.
//
// Order: write() any number of times, then finish(), or cancel() at any time.
// Threads: the peer loop; what is told comes there. Lifetime: shared with the work under way. The
//   file goes with it.
// Bounds: waiting() bytes; the caller looks at it.
// Names: as etcd's, "tmp…" while it comes and "<index>.snap.db" once it is whole.

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

class SnapshotFile : public std::enable_shared_from_this<SnapshotFile> {
 public:
  struct Parts {
    Workers* workers;
    net::Loop* loop;
    SnapshotHome* home;
    raft::SnapshotMetadata at;
  };
  explicit SnapshotFile(Parts parts) : parts_(std::move(parts)) {}
  ~SnapshotFile();

  // `written` is called each time some of it is, with what went wrong, if so: once, and then no
  // more.
  void on_written(std::function<void(const absl::Status&)> written) {
    written_ = std::move(written);
  }
  void write(std::string bytes);
  // Handed to write() and not written yet.
  size_t waiting() const { return waiting_; }
  uint64_t size() const { return size_; }

  // The file is whole; a store is made of it. `saved` is called when it has its name.
  using Made = absl::AnyInvocable<void(absl::StatusOr<node::ReceivedState>)>;
  void finish(absl::AnyInvocable<void()> saved, Made made);
  // Nothing more is told.
  void cancel();

 private:
  void run(absl::AnyInvocable<void()> job);
  void write_now(std::string_view bytes);
  absl::Status open();
  absl::Status close();
  void remove();
  absl::StatusOr<node::ReceivedState> make_state();
  template <typename Body>
  void tell(Body body);

  const Parts parts_;
  std::atomic<bool> cancelled_{false};

  // On the loop.
  std::function<void(const absl::Status&)> written_;
  size_t waiting_ = 0;
  uint64_t size_ = 0;

  // Whichever worker has it.
  int fd_ = -1;
  std::string path_;  // empty: there is no file
  absl::Status error_;
};

}  // namespace keelson::peer
