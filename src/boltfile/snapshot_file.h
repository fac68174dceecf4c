// boltfile/snapshot_file.h
//
// Snapshots as `etcdctl snapshot save` leaves them: a database with the SHA-256 of it behind. One
// that was copied out of a data directory has none.
//
// Threads: as the File's.
// Errors: DataLoss for a sum that does not match; those of the source.

#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "boltfile/file.h"
#include "boltfile/source.h"
#include "boltfile/verify.h"

namespace keelson::boltfile {

// By its size alone, as etcd has it: a database takes whole sectors of 512 bytes, a sum 32 more.
bool has_sum(const Source& source);

// Reads everything. True: there is a sum, and it matches. False: there is none.
absl::StatusOr<bool> check_sum(const Source& source);

// What `snapshot status` tells. The hash is over the names of all buckets and everything in them.
struct SnapshotStatus {
  uint32_t hash = 0;
  int64_t revision = 0;
  uint64_t records = 0;    // in all buckets: what 3.5 calls total keys
  uint64_t live_keys = 0;  // of users, which is what 3.6 and later call so
  uint64_t size = 0;
  std::string storage_version;
};
// Looks at everything once, and at the records of a compaction that was not finished some times
// more (boltfile/live_keys.h). DataLoss with the first problem if the file is not whole: all that
// are told are in `verdict` then, if anybody asks.
absl::StatusOr<SnapshotStatus> snapshot_status(File& file, Verdict* verdict = nullptr);

}  // namespace keelson::boltfile
