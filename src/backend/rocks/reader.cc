#include "backend/rocks/reader.h"

#include "backend/rocks/status.h"
#include "base/check.h"

namespace keelson::backend::rocks {
namespace {

class DbIterator final : public Iterator {
 public:
  DbIterator(rocksdb::DB* db, rocksdb::ColumnFamilyHandle* family, rocksdb::ReadOptions read,
             const IterateOptions& options)
      : lower_(options.lower), upper_(options.upper), lower_slice_(lower_), upper_slice_(upper_) {
    if (!lower_.empty()) read.iterate_lower_bound = &lower_slice_;
    if (!upper_.empty()) read.iterate_upper_bound = &upper_slice_;
    read.fill_cache = options.fill_cache;
    if (!options.fill_cache) read.readahead_size = 256 << 10;
    // An empty range; RocksDB asks for lower <= upper.
    empty_ = !upper_.empty() && upper_ <= lower_;
    if (!empty_) it_.reset(db->NewIterator(read, family));
  }

  bool valid() const override { return !empty_ && it_->Valid(); }
  void seek_to_first() override {
    if (!empty_) it_->SeekToFirst();
  }
  void seek_to_last() override {
    if (!empty_) it_->SeekToLast();
  }
  void seek(std::string_view key) override {
    if (!empty_) it_->Seek(slice(key));
  }
  void seek_for_prev(std::string_view key) override {
    if (!empty_) it_->SeekForPrev(slice(key));
  }
  void next() override {
    CHECK(valid());
    it_->Next();
  }
  void prev() override {
    CHECK(valid());
    it_->Prev();
  }
  std::string_view key() const override { return view(it_->key()); }
  std::string_view value() const override { return view(it_->value()); }
  absl::Status status() const override {
    return empty_ ? absl::OkStatus() : to_status(it_->status(), "reading");
  }

 private:
  std::string lower_, upper_;
  rocksdb::Slice lower_slice_, upper_slice_;
  bool empty_ = false;
  std::unique_ptr<rocksdb::Iterator> it_;
};

}  // namespace

rocksdb::ReadOptions DbReader::read_options(const rocksdb::Snapshot* pinned) {
  rocksdb::ReadOptions options;
  options.snapshot = pinned;
  options.verify_checksums = true;
  // We have none; and with them RocksDB before 8.6 passes over a file whose first block cannot be
  // read, and says Ok (docs/rocksdb.md).
  options.ignore_range_deletions = true;
  return options;
}

absl::StatusOr<std::optional<Bytes>> DbReader::get(Bucket bucket, std::string_view key) const {
  rocksdb::PinnableSlice value;
  rocksdb::Status status =
      db_->Get(read_options(pinned_), families_[static_cast<size_t>(bucket)], slice(key), &value);
  if (status.IsNotFound()) return std::optional<Bytes>();
  if (!status.ok()) return to_status(status, "reading");
  return std::optional<Bytes>(Bytes::copy(view(value)));
}

absl::StatusOr<std::vector<std::optional<Bytes>>> DbReader::multi_get(
    Bucket bucket, std::span<const std::string_view> keys) const {
  std::vector<std::optional<Bytes>> out;
  rocksdb::Status status = multi_get(read_options(pinned_), bucket, keys, &out);
  if (!status.ok()) return to_status(status, "reading");
  return out;
}

absl::StatusOr<bool> DbReader::multi_get_in_memory(Bucket bucket,
                                                   std::span<const std::string_view> keys,
                                                   std::vector<std::optional<Bytes>>* found) const {
  rocksdb::ReadOptions options = read_options(pinned_);
  options.read_tier = rocksdb::kBlockCacheTier;
  rocksdb::Status status = multi_get(options, bucket, keys, found);
  if (status.IsIncomplete()) return false;
  if (!status.ok()) return to_status(status, "reading");
  return true;
}

// The first status that is neither Ok nor NotFound.
rocksdb::Status DbReader::multi_get(const rocksdb::ReadOptions& options, Bucket bucket,
                                    std::span<const std::string_view> keys,
                                    std::vector<std::optional<Bytes>>* out) const {
  rocksdb::ColumnFamilyHandle* family = families_[static_cast<size_t>(bucket)];
  out->assign(keys.size(), std::nullopt);
  if (keys.size() == 1) {
    rocksdb::PinnableSlice value;
    rocksdb::Status status = db_->Get(options, family, slice(keys[0]), &value);
    if (status.ok()) out->front() = Bytes::copy(view(value));
    return status.IsNotFound() ? rocksdb::Status::OK() : status;
  }
  std::vector<rocksdb::Slice> slices;
  slices.reserve(keys.size());
  for (std::string_view key : keys) slices.push_back(slice(key));
  std::vector<rocksdb::PinnableSlice> values(keys.size());
  std::vector<rocksdb::Status> statuses(keys.size());
  db_->MultiGet(options, family, keys.size(), slices.data(), values.data(), statuses.data());
  for (size_t i = 0; i < keys.size(); ++i) {
    if (statuses[i].IsNotFound()) continue;
    if (!statuses[i].ok()) return statuses[i];
    (*out)[i] = Bytes::copy(view(values[i]));
  }
  return rocksdb::Status::OK();
}

std::unique_ptr<Iterator> DbReader::iterate(Bucket bucket, IterateOptions options) const {
  return std::make_unique<DbIterator>(db_, families_[static_cast<size_t>(bucket)],
                                      read_options(pinned_), options);
}

}  // namespace keelson::backend::rocks
