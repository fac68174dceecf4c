// tests/compat/histories.h
//
// Random histories from a seed: puts, deletes, ranges, nested transactions, leases, compactions and
// restarts, sent to both servers alike. Every answer is compared, and at the end the whole store: a
// range, the hash at several revisions, and the events since the last compaction.

#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "tests/compat/runner.h"

namespace keelson::compat {

struct HistoryOptions {
  uint64_t seed = 1;
  int requests = 300;
};

absl::StatusOr<Tally> run_history(const HistoryOptions& history, const RunOptions& options);

}  // namespace keelson::compat
