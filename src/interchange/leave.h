// interchange/leave.h
//
// A member that was taken down to an older etcd leaves that etcd's directory in the place of its
// own: the reverse of convert_in_place(). What export_directory() makes is made beside the member's
// directory, in member.leaving (and <wal-dir>.leaving, where the log lies elsewhere), compared with
// the store, and durable; then the two change names in one step. What was ours is kept as
// member.keelson-kept (and <wal-dir>.keelson-kept), in place of what an earlier time left there.
//
// Threads: one caller, while no server runs on the directory.
// Crashes: before the member's directory changes names ours is in force, after it etcd's; there is
//   no moment without either. A log elsewhere changes before. In between, the directory is still
//   ours, and the log in its place has a mark where our store stands, so we go on with it; etcd
//   refuses the two. Failpoints: those of export.h, interchange_leave_whole, then before each
//   change interchange_leave_log, interchange_leave_member, interchange_leave_keep, and
//   interchange_leave_done. end_leaving() tidies up at our next start; etcd minds none of it.
// Errors: those of export.h; Unavailable where the file system cannot change two names in one step
//   (Linux's RENAME_EXCHANGE); FailedPrecondition where one is mounted on the log. All of them
//   leave ours in force.

#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"

namespace keelson::interchange {

struct Leaving {
  std::string data_dir, wal_dir;
  int minor = 0;  // of the etcd 3 that is to open it
  // Bytes written, and compared once they are all there. False: not wanted any more.
  std::function<bool(uint64_t done, uint64_t of)> progress;
};

absl::Status leave_in_place(const Leaving& what);

// At a start, before anything in the directory is looked at: what a crash left of it is removed, or
// kept, as it would have been.
absl::Status end_leaving(const std::string& data_dir, const std::string& wal_dir);

}  // namespace keelson::interchange
