// ctl/load_run.h
//
// A load of puts for `check`: so many clients, each with a connection and a thread of its own, put
// random keys below a prefix, at a rate or as fast as they can, for a time or up to a count.
//
// Threads: run_load() blocks; `progress` is called by the thread that called it.

#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "ctl/options.h"

namespace keelson::ctl {

struct LoadPlan {
  std::string prefix;
  int clients;
  double rate = 0;     // puts a second; 0: as fast as they can
  double seconds = 0;  // 0: until `count`
  int64_t count = 0;   // 0: until `seconds` are over
  size_t key_bytes;    // behind the prefix
  size_t value_bytes;
};

struct LoadResult {
  std::map<std::string, int64_t> errors;  // by their texts
  double per_second = 0;                  // puts that succeeded
  double slowest = 0, stddev = 0;         // seconds, of those
};

// Ends early when `progress` (called a few times a second with the puts made so far) returns false.
absl::StatusOr<LoadResult> run_load(const Options& options, const LoadPlan& plan,
                                    const std::function<bool(int64_t)>& progress);

}  // namespace keelson::ctl
