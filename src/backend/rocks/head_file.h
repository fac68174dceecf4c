// backend/rocks/head_file.h
//
// A head file holds the heads of one table file's records, in the table's order, deletions among
// them (docs/formats/heads.md). It is a copy: when it is missing, torn or wrong, the table is read.
// So nothing of it is synced, and no error in writing it is anybody's concern.
//
// HeadFileWriter makes one while the table is written, HeadFile reads one back.
// Threads: one each.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/protobuf.h"
#include "rocksdb/file_system.h"

namespace keelson::backend::rocks {

// What a table's properties say of its head file: all that is needed to know it again.
struct HeadFileId {
  std::string name;      // in the directory of head files, ends with kEnding; never used twice
  uint32_t version = 0;  // HeadFormat::version
  uint64_t bytes = 0;
  uint32_t crc = 0;  // CRC-32C of all of it

  // As kept in the property kProperty. nullopt: not as text() writes it.
  static constexpr std::string_view kEnding = ".heads";
  static constexpr const char* kProperty = "keelson.heads";
  std::string text() const;
  static std::optional<HeadFileId> parse(std::string_view text);
};

struct HeadRow {
  std::string_view key;
  uint64_t sequence = 0;  // RocksDB's: of two rows of a key the larger counts
  bool deletion = false;
  std::string_view head;  // empty for a deletion
};

class HeadFileWriter {
 public:
  // In `directory`, under a new name, when the first row comes.
  HeadFileWriter(std::shared_ptr<rocksdb::FileSystem> files, std::string directory)
      : files_(std::move(files)), directory_(std::move(directory)) {}
  // Removes what was not finished.
  ~HeadFileWriter();

  void add(const HeadRow& row);
  // Gives it up: something cannot be kept here.
  void fail();
  // nullopt: there is none, because it failed or has no rows.
  std::optional<HeadFileId> finish(uint32_t version);

 private:
  void open();
  void write_out();

  const std::shared_ptr<rocksdb::FileSystem> files_;
  const std::string directory_;
  std::unique_ptr<rocksdb::FSWritableFile> file_;  // null before the first row, and at the end
  bool failed_ = false;
  std::string buffer_;  // not written yet; at most kBuffer and a row
  HeadFileId id_;
};

class HeadFile {
 public:
  // nullopt: it is not there, or not as it was written.
  static std::optional<HeadFile> load(rocksdb::FileSystem& files, const std::string& directory,
                                      const HeadFileId& id);

  enum class Next { kRow, kEnd, kDamaged };
  // The next row, into the file's memory.
  Next next(HeadRow* row);

 private:
  std::unique_ptr<char[]> memory_;
  pb::Reader rows_{std::string_view()};
};

}  // namespace keelson::backend::rocks
