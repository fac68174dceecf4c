// backend/rocks/reader.h
//
// Reads of a RocksDB database, at its newest state or at a pinned snapshot.
// Threads: any; each Iterator belongs to one.

#pragma once

#include <vector>

#include "backend/backend.h"
#include "rocksdb/db.h"

namespace keelson::backend::rocks {

using Families = std::vector<rocksdb::ColumnFamilyHandle*>;

inline rocksdb::Slice slice(std::string_view s) { return {s.data(), s.size()}; }
inline std::string_view view(const rocksdb::Slice& s) { return {s.data(), s.size()}; }

class DbReader final : public Reader {
 public:
  // All must outlive the reader. `pinned` null: the newest state.
  DbReader(rocksdb::DB* db, const Families& families, const rocksdb::Snapshot* pinned)
      : db_(db), families_(families), pinned_(pinned) {}

  absl::StatusOr<std::optional<Bytes>> get(Bucket bucket, std::string_view key) const override;
  absl::StatusOr<std::vector<std::optional<Bytes>>> multi_get(
      Bucket bucket, std::span<const std::string_view> keys) const override;
  // See Backend::multi_get_in_memory().
  absl::StatusOr<bool> multi_get_in_memory(Bucket bucket, std::span<const std::string_view> keys,
                                           std::vector<std::optional<Bytes>>* found) const;
  std::unique_ptr<Iterator> iterate(Bucket bucket, IterateOptions options) const override;

  // How everything of ours is read.
  static rocksdb::ReadOptions read_options(const rocksdb::Snapshot* pinned);

 private:
  rocksdb::Status multi_get(const rocksdb::ReadOptions& options, Bucket bucket,
                            std::span<const std::string_view> keys,
                            std::vector<std::optional<Bytes>>* out) const;

  rocksdb::DB* db_;
  const Families& families_;
  const rocksdb::Snapshot* pinned_;
};

}  // namespace keelson::backend::rocks
