// wal/segment_name.h
//
// Names of segment files: "<sequence>-<first index>.wal", both 16 hex digits, as etcd's. The
// sequence counts segments from 0; the index is that of the first entry that may stand in it.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/ids.h"
#include "wal/file_system.h"

namespace keelson::wal {

struct SegmentName {
  uint64_t sequence = 0;
  Index first_index;
  friend auto operator<=>(const SegmentName&, const SegmentName&) = default;
};

std::string to_string(SegmentName name);
// Nothing when `file` is no segment's name (other files may lie beside them).
std::optional<SegmentName> parse_segment_name(std::string_view file);

// The segments in `dir`, oldest first. NotFound when there are none, or no `dir`.
absl::StatusOr<std::vector<SegmentName>> list_segments(FileSystem& fs, const std::string& dir);

// The part of `names` that a reader starting at `index` needs: from the last segment that begins
// at or before it. NotFound when all begin later; DataLoss when a segment is missing in between.
absl::StatusOr<std::vector<SegmentName>> select_segments(std::vector<SegmentName> names,
                                                         Index index);

}  // namespace keelson::wal
