// archive/restore.h
//
// A new member's data directory with the state of an archive at one revision, or one time.
//
// Threads: one caller. Takes as long as reading a snapshot, applying the log behind it, and a
//   restore of what comes of it; on the disk of the data directory there are three such states
//   meanwhile, in "<data-dir>.restoring", which goes in the end.
// Errors: those of archive/catalogue.h, archive/replay.h and interchange/restore.h; AlreadyExists
//   when "<data-dir>.restoring" is there (of a restore that was killed). Nothing is left then but
//   that directory, if the process dies.

#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "archive/catalogue.h"
#include "interchange/restore.h"

namespace keelson::archive {

struct PointRestore {
  std::string archive;
  Target target;
  interchange::RestoreOptions restore;  // `snapshot` and `skip_hash_check` are not looked at
  // What is being done, and how far that is; `total` 0: nobody knows.
  std::function<void(std::string_view what, uint64_t done, uint64_t total)> progress;
};

// Where the state stands that was brought back.
struct RestoredPoint {
  Index index;
  int64_t revision = 0;
};

absl::StatusOr<RestoredPoint> restore_point(const PointRestore& what);

}  // namespace keelson::archive
