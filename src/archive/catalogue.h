// archive/catalogue.h
//
// What an archive can bring back, and from which file a state asked for is to be made. Reads only,
// while a member writes to it or not.
//
// Threads: pure functions of a directory.
// Errors: NotFound: there is no archive, or not what was asked for; the text says what there is.
//   FailedPrecondition: it cannot be told which of several is meant. DataLoss: what is needed is
//   damaged. Those of the file system.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "archive/layout.h"
#include "archive/stretch.h"
#include "archive/times.h"
#include "wal/file_system.h"

namespace keelson::archive {

struct SnapshotEntry {
  SnapshotName name;
  int64_t unix_ms = 0;  // of the first time at or behind it
  uint64_t bytes = 0;
};

struct StretchEntry {
  uint64_t number = 0;
  Owner owner;
  std::vector<SnapshotEntry> snapshots;  // the oldest first
  std::vector<Moment> times;             // in order; the log may go a little further than the last
  uint64_t bytes = 0;
  absl::Status damage;  // of times (then there are none here) or the log (then nothing can be had)

  bool is_usable() const { return !snapshots.empty() && owner != Owner(); }
  // What can be brought back: from the first snapshot to the last time, or, where times cannot be
  // read, as far as is known. REQUIRES: is_usable().
  int64_t first_revision() const { return snapshots.front().name.revision; }
  Moment last() const;
  // REQUIRES: there are times.
  int64_t first_time() const { return snapshots.front().unix_ms; }
  int64_t last_time() const;  // not the last one's, if the clock was set back
};

// All stretches, the oldest first.
absl::StatusOr<std::vector<StretchEntry>> read_catalogue(wal::FileSystem& fs,
                                                         const std::string& archive);

// What is to be brought back: one of the two.
struct Target {
  std::optional<int64_t> revision;
  std::optional<int64_t> unix_ms;
  std::optional<uint64_t> stretch;  // only in this one
};

// A snapshot, and how far to go on from it.
struct Route {
  uint64_t stretch = 0;
  Owner owner;
  SnapshotName snapshot;
  // Up to the entry that makes this revision, or up to this index; one of them.
  std::optional<int64_t> revision;
  std::optional<Index> index;
  Moment last;  // known of the stretch
};

absl::StatusOr<Route> find_route(const std::vector<StretchEntry>& catalogue, const Target& target);

// RFC 3339, UTC, to the millisecond. Nothing when `text` is no such time.
std::string time_text(int64_t unix_ms);
std::optional<int64_t> parse_time(std::string_view text);

}  // namespace keelson::archive
