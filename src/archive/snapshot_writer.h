// archive/snapshot_writer.h
//
// SnapshotWriter writes a state into a stretch's directory, as the file that Maintenance.Snapshot
// would send of it, its SHA-256 at the end: a step at a time, so that whoever drives it sets the
// pace.
//
// Order and crashes: under a name that ends in ".part" first, synced every few megabytes so that
//   no sync is a long one, then renamed. A name without it stands for a whole, durable file.
// Threads: one caller at a time.
// Lifetime: holds the state, and with it the store's files.
// Memory: a megabyte, a page for each level of a tree, and one record.
// Errors: those of the store (DataLoss) and of the file system (ResourceExhausted: the disk is
// full).
//   After an error it is of no use. What was begun is removed by the destructor.

#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "archive/layout.h"
#include "backend/backend.h"
#include "base/ids.h"
#include "boltfile/sha256.h"
#include "boltfile/sink.h"
#include "interchange/database_writer.h"
#include "wal/file_system.h"

namespace keelson::archive {

class SnapshotWriter {
 public:
  // `revision` is the state's (archive/state_revision.h).
  SnapshotWriter(wal::FileSystem& fs, std::string stretch,
                 std::shared_ptr<const backend::Snapshot> state, int64_t revision);
  ~SnapshotWriter();
  SnapshotWriter(const SnapshotWriter&) = delete;
  SnapshotWriter& operator=(const SnapshotWriter&) = delete;

  // Does what `bytes` of records cost. True: all of it is written and synced, and finish() is due.
  absl::StatusOr<bool> step(uint64_t bytes);
  // Gives the file its name. REQUIRES: step() said true.
  absl::Status finish();

  const SnapshotName& name() const { return name_; }
  Index index() const { return name_.index; }
  Term term() const { return term_; }
  // Of the file; 0 until it is known.
  uint64_t size() const { return size_; }
  // Whom the state names as members.
  const backend::Snapshot& state() const { return *state_; }

 private:
  class File;

  absl::Status begin_file();

  wal::FileSystem& fs_;
  const std::string stretch_;
  const std::shared_ptr<const backend::Snapshot> state_;
  const SnapshotName name_;
  const Term term_;
  std::unique_ptr<interchange::DatabaseWriter> writer_;
  std::unique_ptr<File> file_;  // null: the size is not known yet
  uint64_t size_ = 0;
  bool written_ = false;
  bool begun_ = false;  // there is a file to be removed
};

}  // namespace keelson::archive
