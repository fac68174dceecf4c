// peer/store_body.h
//
// The files of a store as they follow the MsgSnap in the body of a POST to kStorePath, from one
// Keelson to another (docs/formats/peer.md): each with its name, its length and a sum, and an end.
//
// Bounds: a file's head is held, its bytes are handed on piece by piece. At most kMaxStoreFiles.
// Threads: one caller at a time.
// Failure: InvalidArgument for what is no such body, DataLoss for bytes that their sum does not
//   belong to; the sink's own otherwise. All are for good.

#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace keelson::peer {

inline constexpr size_t kMaxStoreFiles = 1 << 17;

struct StoreFile {
  std::string name;  // is_store_file_name(); unlike the others'
  uint64_t size = 0;
};

// One that a store's checkpoint has, or a head file of it ("heads/…"): nothing that leads out of a
// directory, or is ours to write.
bool is_store_file_name(std::string_view name);

// What stands before a file's bytes, and behind them: `crc` is their CRC-32C.
std::string store_file_head(const StoreFile& file);
std::string store_file_tail(uint32_t crc);
// Behind the last file.
std::string store_files_end();

class StoreFilesSink {
 public:
  virtual ~StoreFilesSink() = default;
  virtual absl::Status begin_file(const StoreFile& file) = 0;
  // In all as many bytes as it said.
  virtual absl::Status file_bytes(std::string_view bytes) = 0;
  // It is whole, and as it was sent.
  virtual absl::Status end_file() = 0;
};

class StoreFilesDecoder {
 public:
  // `sink` must outlive this.
  explicit StoreFilesDecoder(StoreFilesSink* sink) : sink_(*sink) {}

  absl::Status take(std::string_view bytes);
  // The body has ended. InvalidArgument when it ended too early.
  absl::Status finish();

 private:
  enum class At : uint8_t { kNameSize, kName, kSize, kBytes, kSum, kEnd };

  absl::Status step(std::string_view* bytes);
  // True once `field_` has `size` bytes.
  bool gather(std::string_view* bytes, size_t size);
  absl::Status begin();
  absl::Status end();

  StoreFilesSink& sink_;
  At at_ = At::kNameSize;
  std::string field_;  // of the name, the size or the sum that is coming
  size_t name_size_ = 0;
  StoreFile file_;
  uint64_t left_ = 0;  // of its bytes; <= file_.size
  uint32_t crc_ = 0;   // of those that came
  std::set<std::string, std::less<>> names_;
  absl::Status error_;
};

}  // namespace keelson::peer
