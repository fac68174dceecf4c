// archive/times.h
//
// When which index was applied: small records behind one another in files of a stretch, so that a
// time can be looked up. A record says: by then, so much was applied. (The clock is read after the
// state was looked at.) Indexes never go down from record to record; times do where somebody sets
// the clock.
//
// Format: docs/formats/archive.md. 40 bytes each, with a checksum; the file's space is taken ahead,
//   so zeros end it.
// Durability: append() syncs. So a crash leaves all records that were appended before, and the last
//   one whole, torn or not at all: what does not check out at the very end is overwritten. Anywhere
//   else it is damage.
// Threads: one caller at a time.
// Errors: DataLoss naming file and offset; those of the file system. After an error of append() the
//   writer is to be made anew.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/ids.h"
#include "wal/file_system.h"

namespace keelson::archive {

struct Moment {
  int64_t unix_ms = 0;
  Index index;
  Term term;
  int64_t revision = 0;
  friend bool operator==(const Moment&, const Moment&) = default;
};

// Of one file. A torn record at its end is left out.
absl::StatusOr<std::vector<Moment>> read_times_file(wal::FileSystem& fs, const std::string& path);
// Of a whole stretch, in order.
absl::StatusOr<std::vector<Moment>> read_times(wal::FileSystem& fs, const std::string& stretch);

class TimesWriter {
 public:
  // Goes on in the newest file of `stretch`; in a new one when there is none, or it is damaged
  // (which is said in the log, and leaves it as it is).
  // A file ends when it has so many bytes; 1 MB is some seven hours of a record a second.
  static absl::StatusOr<std::unique_ptr<TimesWriter>> open(wal::FileSystem& fs,
                                                           const std::string& stretch,
                                                           uint64_t file_bytes = 1 << 20);

  // Durable when it returns Ok. REQUIRES: the index is not below the last one's.
  absl::Status append(const Moment& moment);
  const std::optional<Moment>& last() const { return last_; }

 private:
  TimesWriter(wal::FileSystem& fs, std::string stretch, uint64_t file_bytes)
      : fs_(fs), stretch_(std::move(stretch)), file_bytes_(file_bytes) {}

  absl::Status begin_file(Index first);

  wal::FileSystem& fs_;
  const std::string stretch_;
  const uint64_t file_bytes_;
  std::unique_ptr<wal::File> file_;  // null: the next record begins one
  uint64_t end_ = 0;                 // of the records in it; <= reserved_
  uint64_t reserved_ = 0;
  std::optional<Moment> last_;
  std::optional<Index> damaged_;  // the file of that name is left alone
};

}  // namespace keelson::archive
