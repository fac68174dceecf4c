// interchange/etcd_directory.h
//
// What etcd left in a data directory: which database counts, where in the log it stands, and who
// the members are. Looks, and writes nothing.
//
// etcd keeps three things: the log; snapshot files, of which the newest is marked in the log; and
// the database, which stands at some entry at or past that mark. A database that came from a leader
// lies beside the old one, under the index of its snapshot, until etcd's next start puts it in its
// place: a crash between leaves it there.
//
// Threads: one caller. Exclusion: `lock` holds the database as etcd itself does, so that no etcd
//   serves it meanwhile; it goes with the object.
// Errors: FailedPrecondition when etcd has it open, or is too new; DataLoss when log and database
//   do not belong together, saying what to do.
// Source: etcd v3.7.1, server/storage/backend.go, server/storage/wal.

#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "boltfile/etcd_state.h"
#include "boltfile/file.h"
#include "interchange/database_reader.h"
#include "raft/types.h"
#include "wire/wal_record.h"

namespace keelson::interchange {

// A file's lock, held while it lives.
class FileLock {
 public:
  // FailedPrecondition when somebody else has it.
  static absl::StatusOr<std::unique_ptr<FileLock>> take(const std::string& path);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  explicit FileLock(int fd) : fd_(fd) {}
  const int fd_;
};

struct EtcdDirectory {
  std::unique_ptr<FileLock> lock;
  std::string database_path;
  std::unique_ptr<boltfile::File> database;
  boltfile::EtcdState state;
  Index index;  // where the database stands
  std::string wal_dir;
  wire::WalSnapshot mark;      // the newest in the log that the database covers
  raft::ConfState conf_state;  // of the state's members
};

// Whether there is etcd's database in the data directory, its own or one that a leader sent.
bool is_etcd_directory(const std::string& data_dir);

absl::StatusOr<EtcdDirectory> open_etcd_directory(const std::string& data_dir,
                                                  const std::string& wal_dir);

// The members are the database's. Which of them only learn is said best by raft's configuration
// there (meta's `conf_state`); after a restore, which leaves the former cluster's, by the log's
// mark. Refused when the database has members that its configuration lacks: releases of 3.5 left
// removed ones over, and raft would count them.
absl::StatusOr<raft::ConfState> configuration_of(const std::optional<std::string>& conf_state,
                                                 const std::vector<boltfile::EtcdMember>& members,
                                                 const wire::WalSnapshot& mark);

}  // namespace keelson::interchange
