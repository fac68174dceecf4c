// peer/snapshot_source.h
//
// SnapshotSource makes the database file of a state, piece by piece, on worker threads, as fast as
// it is asked for them.
//
// Threads: the peer loop; what is asked for comes there, never from inside.
// Lifetime: shared with the work under way. The state is held until the last piece is made, or
//   cancel(); its Backend outlives the workers.
// Bounds: one piece.

#pragma once

#include <atomic>
#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "base/workers.h"
#include "interchange/database_writer.h"
#include "net/loop.h"

namespace keelson::peer {

class SnapshotSource : public std::enable_shared_from_this<SnapshotSource> {
 public:
  struct Piece {
    Bytes bytes{};
    bool last = false;
  };
  template <typename Value>
  using Then = absl::AnyInvocable<void(absl::StatusOr<Value>)>;

  SnapshotSource(Workers* workers, net::Loop* loop, std::shared_ptr<const backend::Snapshot> state);

  // How long the file is. First of all; it reads everything.
  void plan(Then<uint64_t> then);
  // The next piece, some hundred kilobytes. One at a time, after plan().
  void next(Then<Piece> then);
  // Nothing more comes.
  void cancel();

 private:
  void plan_some(Then<uint64_t> then);
  void make_some(Then<Piece> then);
  template <typename Value>
  void tell(Then<Value> then, absl::StatusOr<Value> result);

  Workers& workers_;
  net::Loop& loop_;
  std::atomic<bool> cancelled_{false};
  // Whichever worker has it; none once it is done.
  std::unique_ptr<interchange::DatabaseWriter> writer_;
};

}  // namespace keelson::peer
