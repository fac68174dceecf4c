// backend/rocks/torn_manifest.h
//
// Where the part of a manifest ends that surely was written as a whole.
//
// Why: RocksDB takes a manifest that is cut short for an interrupted write. But what was not synced
//   when the power failed may also have holes, whole records behind them: then it refuses to open
//   ("checksum mismatch"), or passes over the hole and applies what follows. Everything from the
//   first record that is not whole is left out instead, as if it had never been written. Whether
//   that is too much, HighWater tells: what was reported as durable was synced. It has to be asked
//   before RocksDB may write: an open removes the files that the shortened manifest does not name.
// Format: RocksDB's log files, rocksdb/db/log_format.h: blocks of 32 KB; in them records of a
//   masked CRC-32C (4 bytes, little-endian), a length (2), a type (1: whole, 2 to 4: first, middle
//   and last part), the payload; the sum is of type and payload. A head that does not fit into the
//   rest of a block is zeros.
// Threads: pure functions.

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "rocksdb/file_system.h"

namespace keelson::backend::rocks {

// "…/MANIFEST-000043".
bool is_manifest(std::string_view path);

// Makes `file`, just opened on the manifest `path`, end where its whole part does.
rocksdb::IOStatus show_whole_part(rocksdb::FileSystem& files, const std::string& path,
                                  std::unique_ptr<rocksdb::FSSequentialFile>* file);

// Whether the current manifest in `directory` has more than its whole part. False where there is no
// database.
absl::StatusOr<bool> manifest_is_torn(rocksdb::FileSystem& files, const std::string& directory);

}  // namespace keelson::backend::rocks
