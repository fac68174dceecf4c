// interchange/layout.h
//
// Where things lie in a data directory, ours and etcd's.
//
// Threads: pure functions.

#pragma once

#include <string>

namespace keelson::interchange {

inline std::string member_dir(const std::string& data_dir) { return data_dir + "/member"; }
// Our store.
inline std::string store_dir(const std::string& data_dir) { return data_dir + "/member/keelson"; }
// The log of either, unless --wal-dir says another place.
inline std::string wal_dir(const std::string& data_dir) { return data_dir + "/member/wal"; }
// etcd's database and snapshot files.
inline std::string snap_dir(const std::string& data_dir) { return data_dir + "/member/snap"; }
inline std::string database_path(const std::string& data_dir) {
  return data_dir + "/member/snap/db";
}

}  // namespace keelson::interchange
