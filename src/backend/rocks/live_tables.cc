#include "backend/rocks/live_tables.h"

#include "backend/rocks/status.h"
#include "base/text.h"

namespace keelson::backend::rocks {

absl::StatusOr<std::vector<LiveTable>> live_tables(rocksdb::DB& db,
                                                   rocksdb::ColumnFamilyHandle* family) {
  rocksdb::TablePropertiesCollection properties;
  rocksdb::Status read = db.GetPropertiesOfAllTables(family, &properties);
  if (!read.ok()) return to_status(read, "reading the properties of the files");
  rocksdb::ColumnFamilyMetaData found;
  db.GetColumnFamilyMetaData(family, &found);
  std::vector<LiveTable> tables;
  for (const rocksdb::LevelMetaData& level : found.levels) {
    for (const rocksdb::SstFileMetaData& file : level.files) {
      auto of = properties.find(cat(file.directory, "/", file.relative_filename));
      tables.push_back({level.level, file, of == properties.end() ? nullptr : of->second});
    }
  }
  return tables;
}

}  // namespace keelson::backend::rocks
