#include "backend/rocks/head_keeper.h"

#include <set>
#include <utility>

#include "base/check.h"
#include "base/text.h"

namespace keelson::backend::rocks {
namespace {

// Makes the heads of one table. Nothing it does may fail the table.
class Collector final : public rocksdb::TablePropertiesCollector {
 public:
  Collector(std::shared_ptr<rocksdb::FileSystem> files, const std::string& directory,
            const HeadFormat& format)
      : format_(format), writer_(std::move(files), directory) {}

  rocksdb::Status AddUserKey(const rocksdb::Slice& key, const rocksdb::Slice& value,
                             rocksdb::EntryType type, rocksdb::SequenceNumber sequence,
                             uint64_t) override {
    HeadRow row{.key = {key.data(), key.size()},
                .sequence = sequence,
                .deletion = type == rocksdb::kEntryDelete};
    if (type == rocksdb::kEntryPut) {
      head_.clear();
      if (!format_.of(row.key, {value.data(), value.size()}, &head_).ok()) writer_.fail();
      row.head = head_;
    } else if (type != rocksdb::kEntryDelete) {
      writer_.fail();
    }
    writer_.add(row);
    return rocksdb::Status::OK();
  }
  rocksdb::Status Finish(rocksdb::UserCollectedProperties* properties) override {
    // Asked once for the table, and again for whoever is told of it.
    if (!std::exchange(finished_, true)) id_ = writer_.finish(format_.version);
    if (id_) (*properties)[HeadFileId::kProperty] = id_->text();
    return rocksdb::Status::OK();
  }
  rocksdb::UserCollectedProperties GetReadableProperties() const override { return {}; }
  const char* Name() const override { return "KeelsonHeads"; }

 private:
  const HeadFormat format_;
  HeadFileWriter writer_;
  std::string head_;
  bool finished_ = false;
  std::optional<HeadFileId> id_;  // once finished_: of the file, if there is one
};

std::optional<HeadFileId> id_in(const rocksdb::TableProperties& table) {
  auto found = table.user_collected_properties.find(HeadFileId::kProperty);
  if (found == table.user_collected_properties.end()) return std::nullopt;
  return HeadFileId::parse(found->second);
}

}  // namespace

std::optional<HeadFileId> head_file_of(const rocksdb::TableProperties& table, uint32_t version) {
  std::optional<HeadFileId> id = id_in(table);
  return id && id->version == version ? id : std::nullopt;
}

HeadKeeper::HeadKeeper(std::shared_ptr<rocksdb::FileSystem> files, const std::string& store,
                       const HeadFormat& format)
    : files_(std::move(files)), directory_(cat(store, "/", kDirectory)), format_(format) {
  CHECK(format_.of != nullptr);
}

// Neither failure matters: without the directory no head file is made, what is not listed stays.
void HeadKeeper::note_what_is_there() {
  files_->CreateDirIfMissing(directory_, {}, nullptr).PermitUncheckedError();
  files_->GetChildren(directory_, {}, &found_, nullptr).PermitUncheckedError();
}

void HeadKeeper::adopt(rocksdb::DB& db, rocksdb::ColumnFamilyHandle* family) {
  rocksdb::TablePropertiesCollection tables;
  if (!db.GetPropertiesOfAllTables(family, &tables).ok()) return;
  std::set<std::string> wanted;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [path, table] : tables) {
      if (std::optional<HeadFileId> id = id_in(*table)) of_table_.emplace(path, id->name);
    }
    // Tables that were made since the open are among them.
    for (const auto& [path, name] : of_table_) wanted.insert(name);
  }
  for (const std::string& name : std::exchange(found_, {})) {
    if (name.ends_with(HeadFileId::kEnding) && !wanted.contains(name)) remove(name);
  }
}

rocksdb::TablePropertiesCollector* HeadKeeper::CreateTablePropertiesCollector(Context) {
  return new Collector(files_, directory_, format_);  // RocksDB's from here
}

void HeadKeeper::OnTableFileCreated(const rocksdb::TableFileCreationInfo& info) {
  std::optional<HeadFileId> id = id_in(info.table_properties);
  if (!id) return;
  if (!info.status.ok()) return remove(id->name);
  std::lock_guard lock(mutex_);
  of_table_.insert_or_assign(info.file_path, id->name);
}

void HeadKeeper::OnTableFileDeleted(const rocksdb::TableFileDeletionInfo& info) {
  std::string name;
  {
    std::lock_guard lock(mutex_);
    auto found = of_table_.find(info.file_path);
    if (found == of_table_.end()) return;
    name = std::move(found->second);
    of_table_.erase(found);
  }
  remove(name);
}

void HeadKeeper::link_into(const std::string& copy) {
  const std::string heads = cat(copy, "/", kDirectory);
  if (!files_->CreateDirIfMissing(heads, {}, nullptr).ok()) return;
  std::map<std::string, std::string> of_table;
  {
    std::lock_guard lock(mutex_);
    of_table = of_table_;
  }
  for (const auto& [path, name] : of_table) {
    const std::string table = cat(copy, path.substr(path.rfind('/')));
    if (!files_->FileExists(table, {}, nullptr).ok()) continue;
    files_->LinkFile(cat(directory_, "/", name), cat(heads, "/", name), {}, nullptr)
        .PermitUncheckedError();
  }
}

// Should it fail, the next open removes it.
void HeadKeeper::remove(const std::string& name) {
  files_->DeleteFile(cat(directory_, "/", name), {}, nullptr).PermitUncheckedError();
}

}  // namespace keelson::backend::rocks
