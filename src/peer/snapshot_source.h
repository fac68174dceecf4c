// peer/snapshot_source.h
//
// SnapshotSource makes what follows a snapshot's message, piece by piece, on worker threads, as
// fast as it is asked for it. DatabaseSource makes etcd's database file of a state, StoreSource
// sends the files of this member's own store as they are (peer/store_body.h), at whatever entry the
// newest copy of it stands.
//
// Threads: the peer loop; what is asked for comes there, never from inside.
// Lifetime: shared with the work under way. The state, or the copy, is held until the last piece is
//   made, or cancel(); its Backend outlives the workers.
// Bounds: one piece. The files of a store are never in memory but for that.

#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "base/workers.h"
#include "interchange/database_writer.h"
#include "net/loop.h"
#include "peer/snapshot_home.h"
#include "peer/store_body.h"
#include "raft/types.h"

namespace keelson::peer {

class SnapshotSource : public std::enable_shared_from_this<SnapshotSource> {
 public:
  struct Plan {
    uint64_t bytes = 0;  // of all pieces together
    // What the message says of the state; null: what it says already.
    std::shared_ptr<const raft::Snapshot> snapshot{};
  };
  struct Piece {
    Bytes bytes{};
    bool last = false;
  };
  template <typename Value>
  using Then = absl::AnyInvocable<void(absl::StatusOr<Value>)>;

  virtual ~SnapshotSource() = default;

  // First of all; takes long.
  void plan(Then<Plan> then);
  // The next piece, some hundred kilobytes. One at a time, after plan().
  void next(Then<Piece> then);
  // Nothing more comes.
  void cancel();

 protected:
  SnapshotSource(Workers* workers, net::Loop* loop) : workers_(*workers), loop_(*loop) {}

  // On whichever worker has it. A part of the work; a plan once it is done.
  virtual absl::StatusOr<std::optional<Plan>> plan_some() = 0;
  virtual absl::StatusOr<Piece> make_piece() = 0;
  // What it holds is not needed any more.
  virtual void drop() = 0;

 private:
  void run(absl::AnyInvocable<void()> job);
  template <typename Value>
  void tell(Then<Value> then, absl::StatusOr<Value> result);

  Workers& workers_;
  net::Loop& loop_;
  std::atomic<bool> cancelled_{false};
};

class DatabaseSource final : public SnapshotSource {
 public:
  DatabaseSource(Workers* workers, net::Loop* loop, std::shared_ptr<const backend::Snapshot> state);

 private:
  absl::StatusOr<std::optional<Plan>> plan_some() override;
  absl::StatusOr<Piece> make_piece() override;
  void drop() override { writer_.reset(); }

  std::unique_ptr<interchange::DatabaseWriter> writer_;  // null once it is done
};

class StoreSource final : public SnapshotSource {
 public:
  StoreSource(Workers* workers, net::Loop* loop, SnapshotHome* home)
      : SnapshotSource(workers, loop), home_(*home) {}
  ~StoreSource() override { StoreSource::drop(); }

 private:
  absl::StatusOr<std::optional<Plan>> plan_some() override;
  absl::StatusOr<Piece> make_piece() override;
  void drop() override;
  absl::Status open_next();
  absl::Status read(char* out, size_t size);

  SnapshotHome& home_;
  std::unique_ptr<StoreCopy> copy_;  // null before plan_some() and once it is done
  std::vector<StoreFile> files_;
  size_t at_ = 0;      // of files_: the one that is open, or comes next
  int fd_ = -1;        // of that; -1: it is not begun
  uint64_t left_ = 0;  // of its bytes
  uint32_t crc_ = 0;   // of those that were read
};

}  // namespace keelson::peer
