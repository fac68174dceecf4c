// backend/rocks/high_water.h
//
// HighWater remembers, in a small file of its own, the raft index that was last reported as
// durable.
//
// Why: RocksDB takes damage in the last record of its MANIFEST for an interrupted write and opens
//   an older state. The log that led from there to here may be gone by then. A database older than
//   what it once reported is damaged, and with this file open() can tell.
// Format: KEELSON.durable: the index, 8 bytes big endian, and its CRC-32C, 4 bytes big endian.
// A store that never reported anything has a file of index 0 as soon as there is a log to it: a log
// that went missing then is told from one that never was.
// Threads: one caller at a time.

#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/ids.h"
#include "rocksdb/file_system.h"

namespace keelson::backend::rocks {

class HighWater {
 public:
  HighWater(std::shared_ptr<rocksdb::FileSystem> files, const std::string& directory);
  // 0 when there is no file. kDataLoss when it does not parse.
  absl::StatusOr<Index> load() const;
  bool is_there() const;
  // On stable storage when it returns Ok.
  absl::Status store(Index index);

 private:
  std::shared_ptr<rocksdb::FileSystem> files_;
  std::string path_;
  std::string directory_;
};

// The names in `directory`, its own, and those of the directories above it are on stable storage
// when it returns Ok. One that we may not look into is not ours, and was there before.
rocksdb::IOStatus sync_names(rocksdb::FileSystem& files, std::string directory);

}  // namespace keelson::backend::rocks
