// wal/block_window.h
//
// BlockWindow reads a file in blocks and shows parts of it. A view shares its block, so it may
// outlive the next read; what is held is one block, or one record where that is larger.
//
// Threads: one caller at a time.

#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "wal/file_system.h"

namespace keelson::wal {

class BlockWindow {
 public:
  // `file` outlives the window's use of it; only its first `size` bytes are read.
  void look_at(File& file, uint64_t size) {
    file_ = &file;
    size_ = size;
    block_ = Bytes();
    start_ = 0;
  }

  // The bytes [from, from + size), fewer at the end of the file; a part of block().
  absl::StatusOr<std::string_view> view(uint64_t from, uint64_t size) {
    if (from >= size_) return std::string_view();
    size = std::min(size, size_ - from);
    if (from < start_ || from + size > start_ + block_.size()) {
      absl::Status status = read_block(from, std::max(size, kBlockSize));
      if (!status.ok()) return status;
    }
    std::string_view all = block_.view();
    return all.substr(std::min<uint64_t>(from - start_, all.size()), size);
  }

  // What the last view is a part of.
  const Bytes& block() const { return block_; }

  // Entries share the blocks, so one must not be much larger than what is likely kept of it.
  static constexpr uint64_t kBlockSize = 256 << 10;

 private:
  absl::Status read_block(uint64_t from, uint64_t size) {
    size = std::min(size, size_ - from);
    absl::StatusOr<size_t> got = size_t{0};
    Bytes block = Bytes::build(size, [&](char* out) { got = file_->pread(from, out, size); });
    if (!got.ok()) return got.status();
    block_ = block.slice(0, *got);
    start_ = from;
    return absl::OkStatus();
  }

  File* file_ = nullptr;
  uint64_t size_ = 0;
  Bytes block_;  // file content from start_ on
  uint64_t start_ = 0;
};

}  // namespace keelson::wal
