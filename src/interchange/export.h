// interchange/export.h
//
// Our data directory into one that etcd serves as it is: the database, the log behind it and what
// it has of before (interchange/log_copy.h), and the snapshot file that etcd begins with. The
// reverse of interchange/convert.h; ours is only read.
//
// Threads: one caller, while no server runs on the directory (FailedPrecondition otherwise).
// Crashes: the output is a member's only when export_directory() has returned: until then its
//   directory is called member.part.
// Errors: AlreadyExists when the output has a member; InvalidArgument when the version is too old
//   for what the state needs; ResourceExhausted before the first file is; those of the store, the
//   log, the disk.

#pragma once

#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"

namespace keelson::interchange {

struct Export {
  std::string data_dir, wal_dir;  // ours
  std::string output_dir;
  std::optional<int> minor;  // of the etcd 3 that is to open it; nullopt: ours
  std::function<bool(uint64_t done, uint64_t of)> progress;
  bool compare = false;  // what was written with the store, key by key
};

absl::Status export_directory(const Export& what);

// The same, but to the places that are named, neither there yet, for somebody who puts them where
// they belong; `output_dir` means nothing. Whole and durable when it returns; what an error leaves
// is for the caller to remove.
absl::Status export_member(const Export& what, const std::string& member_dir,
                           const std::string& new_wal_dir);

}  // namespace keelson::interchange
