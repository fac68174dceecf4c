// wal/log_reader.h
//
// LogReader walks the records of a run of segments, checks every byte of them, and tells apart what
// a crash leaves at the very end of the log (torn: to be cut off) from damage (to be refused).
//
// The distinction rests on how disks fail: a sector is written whole or not at all, and what was
// not written yet is zero. A record cut by a crash therefore lacks at least one whole sector, or
// the end of the file; its length field, which never straddles a sector, is whole. Everything else
// that does not check out is damage, wherever it is: a byte that changed must never pass for a
// crash, or acknowledged entries would silently go missing.
//
// Threads: one caller at a time. Changes nothing on disk.

#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "wal/file_system.h"
#include "wal/segment_name.h"
#include "wire/wal_record.h"

namespace keelson::wal {

// One open segment file.
struct Segment {
  SegmentName name;
  std::string path;
  std::unique_ptr<File> file;
};

// What a reader says about damage: where, what, and that nothing was changed.
absl::Status damaged(std::string_view path, uint64_t offset, std::string_view what);

class LogReader {
 public:
  enum class Outcome {
    kRecord,
    kEnd,   // the last record was read; what follows in its sector is zero
    kTorn,  // a crash cut off the record at offset(); nothing before it is touched
  };

  struct Record {
    wire::RecordType type;
    std::string_view data;  // a part of `block`
    Bytes block;            // valid as long as anybody holds it
  };

  // What the last of the segments ends with: the log, where a crash may have torn it, or itself
  // only, complete.
  enum class Ending { kOfLog, kOfSegment };

  // `segments` are consecutive, oldest first, and outlive the reader.
  explicit LogReader(std::span<const Segment> segments, Ending ending = Ending::kOfLog)
      : segments_(segments), ending_(ending) {}

  // The next record but for sums, which are checked here. DataLoss for damage.
  absl::StatusOr<Outcome> next(Record* record);

  // After kEnd or kTorn: whether anything but zeros lies in the last segment past offset(): sectors
  // of a batch whose beginning was lost. They must be erased before anything is appended.
  absl::StatusOr<bool> rubbish_follows();

  // The segment of the last record and the place after it there; the running sum.
  const Segment& segment() const { return segments_[current_]; }
  uint64_t offset() const { return offset_; }
  // Where the last record begins.
  uint64_t record_offset() const { return record_offset_; }
  uint32_t chain() const { return chain_; }

 private:
  bool in_last() const { return current_ + 1 == segments_.size(); }
  bool in_tail() const { return in_last() && ending_ == Ending::kOfLog; }
  absl::Status damage(std::string_view what) const;
  absl::Status open_segment();
  absl::StatusOr<Outcome> finish_segment();
  absl::StatusOr<Outcome> judge(uint64_t record_size);
  absl::StatusOr<bool> read_record(uint64_t record_size, Record* record);
  absl::Status check_order(wire::RecordType type);
  absl::StatusOr<uint64_t> size_in_head(uint64_t start, uint64_t end);
  absl::StatusOr<bool> lacks_sector(uint64_t from, uint64_t to);
  absl::StatusOr<bool> all_zero(uint64_t from, uint64_t to);
  // The bytes [from, from + size), fewer at the end of the file; a view into block_.
  absl::StatusOr<std::string_view> view(uint64_t from, uint64_t size);

  const std::span<const Segment> segments_;
  const Ending ending_;
  size_t current_ = 0;
  bool opened_ = false;
  bool chain_known_ = false;  // after the first segment's first record
  uint64_t size_ = 0;         // of the current file
  uint64_t offset_ = 0;       // after the last good record; <= size_
  uint64_t record_offset_ = 0;
  size_t records_ = 0;  // good ones in this segment
  uint32_t chain_ = 0;

  Bytes block_;  // file content from block_start_ on
  uint64_t block_start_ = 0;
};

}  // namespace keelson::wal
