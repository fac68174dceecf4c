// interchange/convert.h
//
// etcd's data directory into one of ours: the database becomes the store, the log goes on behind it
// with every entry that the database does not have yet, and keeps what it has of before
// (interchange/log_copy.h). Beside the original, which is only read.
//
// convert_in_place() then changes the two over: the original's member directory becomes
// member.etcd (and a log elsewhere <wal-dir>.etcd), and is kept. Beside them everything is made in
// member.keelson (and <wal-dir>.keelson), whole and durable before the first of the renames; when
// member is gone, the rest of them is all that is left to do, and finish_conversion() does it.
//
// Threads: one caller, before anything in the directory is opened, and a few for the keys
//   (interchange/key_stretches.h). Takes as long as reading the database, reading the
//   log two or three times, and writing and reading the store.
// Crashes: before the first rename etcd's directory is as it was, and what was made is made anew;
//   after it ours is whole. Failpoints: interchange_convert_log, interchange_keys_read,
//   interchange_store_read, interchange_store_closed, interchange_store_installed,
//   interchange_convert_whole, then before each rename interchange_move_member,
//   interchange_move_log, interchange_place_log, interchange_place_member, and
//   interchange_convert_done.
// Errors: those of interchange/etcd_directory.h, store_maker.h, log_copy.h. ResourceExhausted, when
//   the disk cannot take both, and FailedPrecondition, when the log has what we could not go on
//   with, come before anything is written.

#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "interchange/database_reader.h"
#include "interchange/etcd_directory.h"

namespace keelson::interchange {

struct Conversion {
  std::string data_dir, wal_dir;  // etcd's
  // Ours, neither there yet. The store's place is <member_dir>/keelson.
  std::string member_dir, new_wal_dir;
  // Told of the database's size and of how far it was read, and told again while it is checked.
  std::function<bool(const ReadProgress&, uint64_t of)> progress;
};

absl::Status convert(const Conversion& conversion);

using ConvertProgress = std::function<bool(const ReadProgress&, uint64_t of)>;

// REQUIRES: is_etcd_directory(data_dir), and no store of ours in it.
absl::Status convert_in_place(const std::string& data_dir, const std::string& wal_dir,
                              const ConvertProgress& progress);

// Whether a crash left a conversion between its renames.
bool conversion_is_unfinished(const std::string& data_dir);
absl::Status finish_conversion(const std::string& data_dir, const std::string& wal_dir);

}  // namespace keelson::interchange
