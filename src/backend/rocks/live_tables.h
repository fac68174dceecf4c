// backend/rocks/live_tables.h
//
// The table files of a family's newest version, with what their properties say.
//
// Threads: any; a snapshot of what merges go on changing.

#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "rocksdb/db.h"

namespace keelson::backend::rocks {

struct LiveTable {
  int level;
  rocksdb::SstFileMetaData file;  // its counts of records are not set after an open
  // Null: the table is newer than the properties that were read.
  std::shared_ptr<const rocksdb::TableProperties> properties;
};

// Level by level; within a level as RocksDB keeps them: level 0 from the newest on, the others in
// the order of keys.
absl::StatusOr<std::vector<LiveTable>> live_tables(rocksdb::DB& db,
                                                   rocksdb::ColumnFamilyHandle* family);

}  // namespace keelson::backend::rocks
