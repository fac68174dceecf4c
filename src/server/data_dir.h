// server/data_dir.h
//
// What must hold of the data directory and of the flags that found a member before anything is
// opened. A directory that another program filled, or of which a part is missing, is refused:
// served as an empty one it would lose what is in it.
//
// Threads: one caller, at start.
// Errors: for the operator, with etcd's texts where etcd refuses too (v3.7.1,
//   server/config/config.go and server/etcdserver/bootstrap.go).

#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "server/config.h"

namespace keelson::server {

// A directory that etcd left, of its versions 3.5 to 3.7, becomes ours: converted beside the
// original, which is kept (interchange/convert.h). Ends a change-over that a crash interrupted.
// Does nothing to any other directory. Takes as long as it takes to read and write the database;
// tells the log how far it is. Before check_data_dir().
absl::Status take_over(const Config& config);

struct DataDir {
  bool has_log = false;  // of a member that goes on; what it was founded with counts no more
};
// Looks, and writes nothing.
absl::StatusOr<DataDir> check_data_dir(const Config& config);
// What the flags say of a member without a log.
absl::Status check_founder(const Config& config);

// Makes the directories that are missing, for this user alone. Warns of a data directory that
// others may read, as etcd does. REQUIRES: check_data_dir() found nothing.
absl::Status make_data_dir(const Config& config);

// How much of its disk a member keeps in reserve, for when it is full: 64 MB, of a small disk a
// sixteenth. 64 MB is what the log takes ahead, and as much as the write buffers hold. 0: the size
// of the disk cannot be told. REQUIRES: make_data_dir() was done.
uint64_t reserve_for(const Config& config);
// --keelson-write-buffer-bytes; on a small disk no more than the reserve, so that what is in memory
// when it is full finds room there.
uint64_t write_buffers_for(const Config& config);

}  // namespace keelson::server
