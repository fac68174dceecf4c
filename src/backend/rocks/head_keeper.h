// backend/rocks/head_keeper.h
//
// HeadKeeper keeps a head file beside each table file of the key family: written while the table is
// written (by flushes and merges), named in the table's properties, removed after the table.
//
// Place: <store>/heads/. A head file there that belongs to no table is removed at open.
// Threads: RocksDB's, any number at once; remove_strangers() by whoever opens.
// Lifetime: shared with the database, which holds it as listener and as collector factory.

#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "backend/rocks/head_file.h"
#include "rocksdb/db.h"
#include "rocksdb/listener.h"
#include "rocksdb/table_properties.h"

namespace keelson::backend::rocks {

// What a table's properties say; nullopt: it has no head file, or one of another version.
std::optional<HeadFileId> head_file_of(const rocksdb::TableProperties& table, uint32_t version);

class HeadKeeper final : public rocksdb::EventListener,
                         public rocksdb::TablePropertiesCollectorFactory {
 public:
  // In a store's directory.
  static constexpr std::string_view kDirectory = "heads";

  // `files`: not the patient ones: a head file is not worth waiting for.
  HeadKeeper(std::shared_ptr<rocksdb::FileSystem> files, const std::string& store,
             const HeadFormat& format);

  const std::string& directory() const { return directory_; }
  uint32_t version() const { return format_.version; }
  rocksdb::FileSystem& files() const { return *files_; }

  // Makes the directory, and notes what is in it. Before the database is opened.
  void note_what_is_there();
  // Of that, removes what no table of the open database has, and watches over the rest.
  void adopt(rocksdb::DB& db, rocksdb::ColumnFamilyHandle* family);

  // Gives a checkpoint of the store in `copy` the head files of the tables that it has. One that
  // cannot be had is missing there.
  void link_into(const std::string& copy);

  const char* Name() const override { return "KeelsonHeads"; }
  rocksdb::TablePropertiesCollector* CreateTablePropertiesCollector(Context context) override;
  void OnTableFileCreated(const rocksdb::TableFileCreationInfo& info) override;
  void OnTableFileDeleted(const rocksdb::TableFileDeletionInfo& info) override;

 private:
  void remove(const std::string& name);

  const std::shared_ptr<rocksdb::FileSystem> files_;
  const std::string directory_;
  const HeadFormat format_;
  std::vector<std::string> found_;  // by note_what_is_there()
  std::mutex mutex_;
  std::map<std::string, std::string> of_table_;  // the table's path to the head file's name
};

}  // namespace keelson::backend::rocks
