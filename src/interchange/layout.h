// interchange/layout.h
//
// Where things lie in a data directory, ours and etcd's.
//
// Threads: any.

#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace keelson::interchange {

inline std::string member_dir(const std::string& data_dir) { return data_dir + "/member"; }
// Our store.
inline std::string store_dir(const std::string& data_dir) { return data_dir + "/member/keelson"; }
// The store that counts: keelson, or keelson.<number> where a snapshot of another member brought
// one. NotFound when there is none; FailedPrecondition when there are several, of which the
// member's next start keeps one. Looks at the disk.
absl::StatusOr<std::string> only_store(const std::string& data_dir);
// The same, of a member's directory under whatever name.
absl::StatusOr<std::string> only_store_in(const std::string& member_dir);
// The log of either, unless --wal-dir says another place.
inline std::string wal_dir(const std::string& data_dir) { return data_dir + "/member/wal"; }
// etcd's database and snapshot files.
inline std::string snap_dir(const std::string& data_dir) { return data_dir + "/member/snap"; }
inline std::string database_path(const std::string& data_dir) {
  return data_dir + "/member/snap/db";
}

}  // namespace keelson::interchange
