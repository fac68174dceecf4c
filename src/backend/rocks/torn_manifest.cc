#include "backend/rocks/torn_manifest.h"

#include <algorithm>
#include <utility>

#include "backend/rocks/status.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/text.h"

namespace keelson::backend::rocks {
namespace {

using rocksdb::FileOptions;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

constexpr size_t kBlock = 32 << 10;
constexpr size_t kHead = 7;
enum Type : uint8_t { kWhole = 1, kFirst = 2, kMiddle = 3, kLast = 4 };

uint32_t byte_at(std::string_view bytes, size_t at) { return static_cast<uint8_t>(bytes[at]); }

// As RocksDB stores a sum among bytes that are summed in turn.
uint32_t masked(uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xa282ead8U; }

// Walks the records of a manifest, block by block.
class Walk {
 public:
  // False: the rest of the file counts for nothing.
  bool add(std::string_view block) {
    size_t at = 0;
    while (at < block.size()) {
      if (kBlock - at < kHead) break;  // no room for a head: padding
      const std::string_view rest = block.substr(at);
      if (rest.size() < kHead) return false;
      const size_t size = kHead + (byte_at(rest, 4) | byte_at(rest, 5) << 8);
      if (rest.size() < size || !is_whole(rest.substr(0, size))) return false;
      at += size;
      if (!open_) whole_ = done_ + at;
    }
    done_ += block.size();
    return true;
  }

  // Bytes of records that are there from their first part to their last.
  uint64_t whole() const { return whole_; }

 private:
  bool is_whole(std::string_view record) {
    const uint32_t type = byte_at(record, 6);
    const uint32_t sum = load_little32(record.data());
    if (type < kWhole || type > kLast) return false;
    if (sum != masked(crc32c::extend(0, record.substr(6)))) return false;
    const bool begins = type == kWhole || type == kFirst;
    if (begins == open_) return false;
    open_ = type == kFirst || type == kMiddle;
    return true;
  }

  uint64_t done_ = 0;   // bytes of the blocks before
  uint64_t whole_ = 0;  // <= what was walked
  bool open_ = false;   // within a record of several parts
};

struct Extent {
  uint64_t whole = 0;
  bool torn = false;
};

IOStatus measure(rocksdb::FileSystem& files, const std::string& path, Extent* extent) {
  std::unique_ptr<rocksdb::FSSequentialFile> file;
  IOStatus status = files.NewSequentialFile(path, FileOptions(), &file, nullptr);
  if (!status.ok()) return status;
  const std::unique_ptr<char[]> scratch(new char[kBlock]);
  Walk walk;
  uint64_t size = 0;
  for (bool fine = true; fine;) {
    Slice got;
    status = file->Read(kBlock, IOOptions(), &got, scratch.get(), nullptr);
    if (!status.ok()) return status;
    size += got.size();
    fine = walk.add({got.data(), got.size()}) && got.size() == kBlock;
  }
  *extent = {walk.whole(), walk.whole() < size};
  return status;
}

class ShortenedFile final : public rocksdb::FSSequentialFileOwnerWrapper {
 public:
  ShortenedFile(std::unique_ptr<rocksdb::FSSequentialFile> file, uint64_t size)
      : FSSequentialFileOwnerWrapper(std::move(file)), left_(size) {}

  IOStatus Read(size_t n, const IOOptions& options, Slice* result, char* scratch,
                IODebugContext* debug) override {
    n = std::min<uint64_t>(n, left_);
    IOStatus status = target()->Read(n, options, result, scratch, debug);
    if (status.ok()) left_ -= result->size();
    return status;
  }
  IOStatus Skip(uint64_t n) override {
    n = std::min(n, left_);
    left_ -= n;
    return target()->Skip(n);
  }

 private:
  uint64_t left_;
};

}  // namespace

bool is_manifest(std::string_view path) {
  return path.substr(path.find_last_of('/') + 1).starts_with("MANIFEST-");
}

IOStatus show_whole_part(rocksdb::FileSystem& files, const std::string& path,
                         std::unique_ptr<rocksdb::FSSequentialFile>* file) {
  Extent extent;
  IOStatus status = measure(files, path, &extent);
  if (status.ok() && extent.torn) {
    *file = std::make_unique<ShortenedFile>(std::move(*file), extent.whole);
  }
  return status;
}

absl::StatusOr<bool> manifest_is_torn(rocksdb::FileSystem& files, const std::string& directory) {
  std::string name;
  IOStatus status = rocksdb::ReadFileToString(&files, directory + "/CURRENT", &name);
  if (status.IsNotFound() || status.IsPathNotFound()) return false;
  while (name.ends_with('\n')) name.pop_back();
  if (!is_manifest(name)) return false;  // RocksDB says what is wrong with it
  Extent extent;
  if (status.ok()) status = measure(files, cat(directory, "/", name), &extent);
  if (status.IsNotFound() || status.IsPathNotFound()) return false;
  if (!status.ok()) return to_status(status, cat("reading ", directory, "/", name));
  return extent.torn;
}

}  // namespace keelson::backend::rocks
