// wal/log_reader.h
//
// LogReader walks the records of a run of segments, checks every byte of them, and tells apart what
// a crash leaves at the very end of the log (torn: to be cut off) from damage (to be refused).
//
// The distinction rests on how disks fail: a sector is written whole or not at all, and what was
// not written yet is zero. A record cut by a crash therefore lacks at least one whole sector, or
// the end of the file; its length field, which never straddles a sector, is whole or zero. And it
// belongs to what was written last: where something behind it shows that a sync came after it, it
// was durable and no crash took it (shown_durable() has the rule, docs/formats/wal.md the reasons).
// Everything else that does not check out is damage, wherever it is: a byte that changed must never
// pass for a crash, or acknowledged entries would silently go missing.
//
// Threads: one caller at a time. Changes nothing on disk.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "wal/block_window.h"
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

  // Where a record lies, and the sum of all before it.
  struct Place {
    uint32_t segment = 0;  // of those given
    uint32_t chain = 0;
    uint64_t offset = 0;
    uint64_t size = 0;
  };

  struct Record {
    wire::RecordType type;
    std::string_view data;  // a part of `block`
    Bytes block;            // valid as long as anybody holds it
    Place place;
  };

  // What the last of the segments ends with: the log, where a crash may have torn it, or itself
  // only, complete.
  enum class Ending { kOfLog, kOfSegment };

  // `segments` are consecutive, oldest first, and outlive the reader.
  explicit LogReader(std::span<const Segment> segments, Ending ending = Ending::kOfLog)
      : segments_(segments), ending_(ending) {}

  // The next record but for sums, which are checked here. DataLoss for damage.
  absl::StatusOr<Outcome> next(Record* record);

  // A record that next() gave before, once more.
  absl::StatusOr<Record> read_again(const Place& place);

  // After an end, or an error in the last segment: its file may have grown since, or have been cut
  // where it ended, and others may follow. The next next() goes on where the last good record
  // ended. `segments` begin with the one that was current, as it was opened.
  absl::Status go_on(std::span<const Segment> segments);

  // After kEnd or kTorn: whether anything but zeros lies in the last segment past offset(): sectors
  // of a batch whose beginning was lost. They must be erased before anything is appended.
  absl::StatusOr<bool> rubbish_follows();

  // The segment of the last record and the place after it there; the running sum.
  const Segment& segment() const { return segments_[current_]; }
  uint64_t offset() const { return offset_; }
  // Where the last record begins.
  uint64_t record_offset() const { return record_offset_; }
  uint32_t chain() const { return chain_; }
  // Whether the last record is a sum: what is before it was durable when that was written.
  bool ends_in_sum() const { return ends_in_sum_; }

 private:
  bool in_last() const { return current_ + 1 == segments_.size(); }
  bool in_tail() const { return in_last() && ending_ == Ending::kOfLog; }
  absl::Status damage(std::string_view what) const;
  absl::Status open_segment();
  absl::StatusOr<Outcome> finish_segment();
  absl::StatusOr<Outcome> judge(uint64_t record_size);
  absl::StatusOr<bool> read_record(uint64_t record_size, Record* record);
  absl::Status check_order(wire::RecordType type);
  // What a record's head says of its type and size.
  struct Head {
    wire::RecordType type;
    uint64_t record_size;
  };
  absl::StatusOr<std::optional<Head>> head_in(uint64_t start, uint64_t end);
  absl::StatusOr<Outcome> torn_unless_durable();
  absl::StatusOr<bool> shown_durable();
  absl::StatusOr<uint64_t> size_of_frame(uint64_t at);
  absl::StatusOr<bool> lacks_sector(uint64_t from, uint64_t to);
  absl::StatusOr<bool> all_zero(uint64_t from, uint64_t to);
  absl::StatusOr<std::string_view> view(uint64_t from, uint64_t size) {
    return window_.view(from, size);
  }

  std::span<const Segment> segments_;
  const Ending ending_;
  size_t current_ = 0;  // < segments_.size()
  bool opened_ = false;
  bool chain_known_ = false;  // after the first segment's first record
  uint64_t size_ = 0;         // of the current file
  // record_offset_ <= offset_ <= size_; offset_ is after the last good record.
  uint64_t offset_ = 0;
  uint64_t record_offset_ = 0;
  size_t records_ = 0;  // good ones in this segment
  size_t sums_ = 0;     // of those; <= records_. From the second on they mark syncs
  bool ends_in_sum_ = false;
  uint32_t chain_ = 0;

  BlockWindow window_;  // on the current file
  // On the file of again_segment_, for read_again().
  BlockWindow again_;
  std::optional<uint32_t> again_segment_;
};

}  // namespace keelson::wal
