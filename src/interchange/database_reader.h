// interchange/database_reader.h
//
// etcd's database file into a store of ours, new and empty, record by record, all of them checked.
//
// Order and crashes: keys are loaded (backend/key_load.h), the other records committed in batches,
//   all without a raft position; the last batch carries it, and is flushed. So a store that is not
//   whole says index 0, and when read_database() returns Ok everything is durable
//   (docs/decisions/0013, step 1). Whoever calls then notes that there is a log to it
//   (Backend::note_log()), or makes the log. Failpoint: interchange_keys_read, when all keys are
//   in.
// Threads: one caller; the store is its alone meanwhile. Keys are read by a few threads
//   (interchange/key_stretches.h).
// Memory: that of key_stretches.h, a batch (kBatchBytes, or one record), the write buffers.
// Errors: DataLoss naming bucket and record for what etcd would not have written; a file of a newer
//   etcd, or of none, is FailedPrecondition; Cancelled; those of source and store. The store is of
//   no use then and should be removed.
// Format: docs/formats/bolt.md.

#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "base/ids.h"
#include "boltfile/etcd_state.h"
#include "boltfile/file.h"
#include "interchange/key_stretches.h"
#include "mvcc/store.h"
#include "raft/types.h"

namespace keelson::interchange {

struct Position {
  Index index;
  Term term;
};

struct ReadOptions {
  // Where in the log the state stands; nullopt: where the file says.
  std::optional<Position> position;
  // The raft configuration at that position, if whoever calls knows it better than the file: of a
  // snapshot that came, or of the log's mark. It must name the file's members; it says which of
  // them only learn (etcd 3.5 did not note every promotion in its database).
  std::optional<raft::ConfState> conf_state;
  // Leaves out members and members_removed: the state goes on in a new cluster.
  bool without_members = false;
  // To be made with the last batch.
  backend::WriteBatch last;
  // Called after each megabyte or so; false: stop, with Cancelled.
  TellProgress progress;
};

struct ReadResult {
  boltfile::EtcdState state;  // as the file has it
  Position position;
  ReadProgress total;
  std::vector<KeyStretch> keys;  // of the key bucket, for check_keys()
  uint64_t leases = 0;
  // Buckets that etcd does not have, and a store of ours neither. To say so is the caller's part.
  std::vector<std::string> left_out;
};

absl::StatusOr<ReadResult> read_database(boltfile::File& file, backend::Backend* store,
                                         const ReadOptions& options = {});

// FailedPrecondition, with etcd's words, when `state` was written by a minor version newer than
// ours, or belongs to a cluster of one.
absl::Status check_version(const boltfile::EtcdState& state);

// Whether HashKV at the newest revision is the same over both; DataLoss when not. Reads everything,
// on both sides.
absl::Status check_same_hash(boltfile::File& file, const mvcc::Store& store);

}  // namespace keelson::interchange
