// archive/inventory.h
//
// What lies in an archive, and how much of it: for bounds, and for who asks.
//
// Threads: pure functions of a directory. Somebody may remove files meanwhile: those count as gone.
// Errors: those of the file system.

#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "archive/layout.h"
#include "wal/file_system.h"

namespace keelson::archive {

struct StoredSnapshot {
  uint64_t stretch = 0;
  SnapshotName name;
  uint64_t bytes = 0;
};

struct StoredStretch {
  uint64_t number = 0;
  std::vector<StoredSnapshot> snapshots;  // in order
  uint64_t bytes = 0;                     // of everything
};

struct Inventory {
  std::vector<StoredStretch> stretches;  // in order
  uint64_t bytes = 0;

  // All snapshots, the oldest first.
  std::vector<StoredSnapshot> snapshots() const;
};

absl::StatusOr<Inventory> inventory_of(wal::FileSystem& fs, const std::string& archive);

}  // namespace keelson::archive
