// backend/rocks/table_load.h
//
// The KeyLoad of the RocksDB backend: table files of the key family, written outside of the
// database and then taken in at its last level, where nothing has to be merged any more.
//
// Place: <store>/load/ until then; a crash leaves that directory, which RocksDB passes over.
// Head files are made with the tables, as by flushes (rocks/head_keeper.h).

#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "backend/key_load.h"
#include "backend/rocks/head_keeper.h"
#include "rocksdb/db.h"

namespace keelson::backend::rocks {

class TableLoad final : public KeyLoad {
 public:
  // `heads` may be null. All of them outlive this.
  TableLoad(rocksdb::DB* db, rocksdb::ColumnFamilyHandle* family, HeadKeeper* heads);
  ~TableLoad() override;

  std::unique_ptr<Part> part() override;
  absl::Status install() override;

 private:
  class TablePart;

  // A name for a table; the directory is there.
  absl::StatusOr<std::string> new_name();
  void note(std::vector<std::string> tables);

  rocksdb::DB& db_;
  rocksdb::ColumnFamilyHandle* const family_;
  HeadKeeper* const heads_;
  const std::string directory_;
  rocksdb::Options options_;  // of the tables: those of the family

  std::mutex mutex_;
  uint64_t named_ = 0;               // names given away; 0: there is no directory yet
  std::vector<std::string> tables_;  // of finished parts, not installed
};

}  // namespace keelson::backend::rocks
