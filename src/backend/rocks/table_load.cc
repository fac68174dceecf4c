#include "backend/rocks/table_load.h"

#include <utility>

#include "backend/rocks/options.h"
#include "backend/rocks/reader.h"
#include "backend/rocks/status.h"
#include "base/check.h"
#include "base/text.h"
#include "rocksdb/sst_file_writer.h"

namespace keelson::backend::rocks {
namespace {

rocksdb::Options options_of(rocksdb::DB& db, rocksdb::ColumnFamilyHandle* family) {
  rocksdb::ColumnFamilyDescriptor found;
  // It only fails in builds without it.
  CHECK(family->GetDescriptor(&found).ok());
  return rocksdb::Options(db.GetDBOptions(), found.options);
}

}  // namespace

class TableLoad::TablePart final : public Part {
 public:
  explicit TablePart(TableLoad* load) : load_(*load) {}

  absl::Status add(std::string_view key, std::string_view value) override {
    if (!table_) {
      if (absl::Status s = begin_table(); !s.ok()) return s;
    }
    const rocksdb::Status put = table_->Put(slice(key), slice(value));
    if (!put.ok()) return to_status(put, "writing a table");
    return table_->FileSize() < kTargetFileSize ? absl::OkStatus() : end_table();
  }
  absl::Status finish() override {
    if (table_) {
      if (absl::Status s = end_table(); !s.ok()) return s;
    }
    load_.note(std::exchange(made_, {}));
    return absl::OkStatus();
  }

 private:
  absl::Status begin_table() {
    absl::StatusOr<std::string> name = load_.new_name();
    if (!name.ok()) return name.status();
    // What was written stays in memory, if there is room: it is read again soon.
    table_ = std::make_unique<rocksdb::SstFileWriter>(rocksdb::EnvOptions(load_.options_),
                                                      load_.options_, load_.family_,
                                                      /*invalidate_page_cache=*/false);
    name_ = *std::move(name);
    return to_status(table_->Open(name_), "making a table");
  }
  absl::Status end_table() {
    const rocksdb::Status ended = table_->Finish();
    table_.reset();
    if (!ended.ok()) return to_status(ended, "writing a table");
    made_.push_back(std::move(name_));
    return absl::OkStatus();
  }

  TableLoad& load_;
  std::unique_ptr<rocksdb::SstFileWriter> table_;  // null: none is begun
  std::string name_;                               // … its
  std::vector<std::string> made_;
};

TableLoad::TableLoad(rocksdb::DB* db, rocksdb::ColumnFamilyHandle* family, HeadKeeper* heads)
    : db_(*db),
      family_(family),
      heads_(heads),
      directory_(db->GetName() + "/load"),
      options_(options_of(*db, family)) {}

// Should anything stay, nobody reads it; what is left of heads the next open removes.
TableLoad::~TableLoad() {
  if (named_ == 0) return;
  rocksdb::FileSystem& files = *db_.GetFileSystem();
  std::vector<std::string> names;
  files.GetChildren(directory_, {}, &names, nullptr).PermitUncheckedError();
  for (const std::string& name : names) {
    files.DeleteFile(cat(directory_, "/", name), {}, nullptr).PermitUncheckedError();
  }
  files.DeleteDir(directory_, {}, nullptr).PermitUncheckedError();
}

std::unique_ptr<KeyLoad::Part> TableLoad::part() { return std::make_unique<TablePart>(this); }

absl::StatusOr<std::string> TableLoad::new_name() {
  std::lock_guard lock(mutex_);
  if (named_ == 0) {
    const rocksdb::Status made = db_.GetFileSystem()->CreateDirIfMissing(directory_, {}, nullptr);
    if (!made.ok()) return to_status(made, cat("making ", directory_));
  }
  return cat(directory_, "/", ++named_, ".sst");
}

void TableLoad::note(std::vector<std::string> tables) {
  std::lock_guard lock(mutex_);
  for (std::string& table : tables) tables_.push_back(std::move(table));
}

absl::Status TableLoad::install() {
  const std::vector<std::string> tables = std::exchange(tables_, {});
  if (tables.empty()) return absl::OkStatus();
  rocksdb::IngestExternalFileOptions options;
  options.move_files = true;
  // Into a family that is empty, under no snapshot: whatever asks for more than to take them in as
  // they are, and as the oldest there is, is a mistake.
  options.snapshot_consistency = false;
  options.allow_global_seqno = false;
  options.allow_blocking_flush = false;
  options.write_global_seqno = false;
  const rocksdb::Status taken = db_.IngestExternalFile(family_, tables, options);
  if (!taken.ok()) return to_status(taken, "taking tables in");
  if (heads_ != nullptr) heads_->adopt(db_, family_);
  return absl::OkStatus();
}

}  // namespace keelson::backend::rocks
