// archive/state_revision.h
//
// The revision of a state that is given as records: what mvcc::Store::open() would find, without
// reading the keys.
//
// Threads: any that may read the reader.
// Errors: DataLoss for records that do not parse; those of the reader.

#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "base/revision_key.h"
#include "base/text.h"

namespace keelson::archive {

inline absl::StatusOr<int64_t> state_revision(const backend::Reader& state) {
  // An empty store is at 1. The newest revisions may have been tombstones that a compaction has
  // removed.
  int64_t revision = 1;
  for (const std::string_view name : {"scheduledCompactRev", "finishedCompactRev"}) {
    absl::StatusOr<std::optional<Bytes>> found = state.get(backend::Bucket::kMeta, name);
    if (!found.ok()) return found.status();
    ParsedRevision at;
    if (!*found) continue;
    if (!parse_revision_key(**found, &at)) {
      return absl::DataLossError(cat("archive: meta record ", name, " does not parse"));
    }
    revision = std::max(revision, at.revision.main);
  }
  auto it = state.iterate(backend::Bucket::kKey);
  it->seek_to_last();
  if (!it->valid()) {
    if (!it->status().ok()) return it->status();
    return revision;
  }
  ParsedRevision last;
  if (!parse_revision_key(it->key(), &last)) {
    return absl::DataLossError("archive: the newest key of the store is no revision");
  }
  return std::max(revision, last.revision.main);
}

}  // namespace keelson::archive
