// interchange/restore.h
//
// A new member's data directory out of a snapshot file: the store, and a log that begins with the
// members of a new cluster, as etcdutl's restore makes one. The state's own members are forgotten.
//
// Threads: one caller. Takes as long as reading and writing the database.
// Order: the store is made beside its place; the log is made, marked and synced; the store takes
//   its place. Whatever a crash leaves before the end, no server takes it for a member.
// Errors: with etcdutl's texts where etcdutl refuses (v3.7.1, etcdutl/snapshot/v3_snapshot.go);
//   otherwise those of read_database(), the log, the disk.

#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "interchange/database_reader.h"

namespace keelson::interchange {

struct RestoreOptions {
  std::string snapshot;  // path
  std::string data_dir;  // empty, or not there
  std::string wal_dir;
  std::string name;  // in initial_cluster
  std::string initial_cluster;
  std::string initial_cluster_token;
  bool skip_hash_check = false;
  // Both or none: the newest revision becomes so much larger, and everything up to it counts as
  // compacted, so that no client that saw later revisions takes the state for what it knew.
  uint64_t bump_revision = 0;
  bool mark_compacted = false;
  std::function<bool(const ReadProgress&)> progress;
};

// What restore_snapshot() would refuse before it looks at the file. Writes nothing.
absl::Status check_restore(const RestoreOptions& options);
absl::Status restore_snapshot(const RestoreOptions& options);

}  // namespace keelson::interchange
