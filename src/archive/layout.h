// archive/layout.h
//
// Names in an archive's directory (docs/formats/archive.md):
//
//   KEELSON.archive              says that it is one; locked by the member that writes it
//   <stretch>/                   unbroken history, numbered from 1: "000001"
//     log/                       entries, in the format of the member's log
//     <revision>-<index>.db      the state at that index, as Maintenance.Snapshot sends it
//     <index>.times              when which index was applied; the index is the first in it
//
// Numbers are decimal, padded with zeros to sort well, longer where they have to be.
//
// Threads: pure functions, but for what reads a directory.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/ids.h"
#include "wal/file_system.h"

namespace keelson::archive {

inline constexpr std::string_view kMarker = "KEELSON.archive";
// What the marker holds: the version of all that lies beside it.
inline constexpr std::string_view kFormat = "keelson archive 1\n";
// Behind the name of a snapshot that is not whole yet.
inline constexpr std::string_view kUnfinished = ".part";

struct SnapshotName {
  int64_t revision = 0;
  Index index;
  friend bool operator==(const SnapshotName&, const SnapshotName&) = default;
};

std::string stretch_name(uint64_t number);
std::optional<uint64_t> parse_stretch_name(std::string_view name);
std::string to_string(const SnapshotName& name);
std::optional<SnapshotName> parse_snapshot_name(std::string_view name);
std::string times_name(Index first);
std::optional<Index> parse_times_name(std::string_view name);

inline std::string marker_path(const std::string& archive) {
  return archive + "/" + std::string(kMarker);
}
inline std::string stretch_path(const std::string& archive, uint64_t number) {
  return archive + "/" + stretch_name(number);
}
inline std::string log_path(const std::string& stretch) { return stretch + "/log"; }

// What lies in a stretch's directory, in order of indexes.
struct StretchFiles {
  std::vector<SnapshotName> snapshots;
  std::vector<Index> times;
  std::vector<std::string> unfinished;  // names
};
// A stretch without a directory has nothing.
absl::StatusOr<StretchFiles> list_stretch(wal::FileSystem& fs, const std::string& stretch);
// The numbers of the stretches there are, ascending. NotFound: no such directory.
absl::StatusOr<std::vector<uint64_t>> list_stretches(wal::FileSystem& fs,
                                                     const std::string& archive);

}  // namespace keelson::archive
