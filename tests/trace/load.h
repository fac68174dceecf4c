// tests/trace/load.h
//
// The recording as a load: its calls taken by many clients at once, as fast as they are answered.
// Revisions then differ from the recording's, so only errors are judged: a call may fail only as a
// store whose history took another course makes it fail (a revision not there, or compacted).

#pragma once

#include <map>
#include <string>

#include "tests/trace/trace.h"

namespace keelson::trace {

struct LoadResult {
  int calls = 0;
  int unexpected = 0;     // errors
  int other_history = 0;  // calls about revisions that this run does not have
  int unimplemented = 0;
  double seconds = 0;
  std::map<std::string, std::vector<double>> latencies;  // seconds, by method, sorted
};

// `clients` connections, each with one call at a time; the whole recording `rounds` times.
LoadResult replay_concurrently(const Trace& trace, const std::string& address, int clients,
                               int rounds);
void print_percentiles(const LoadResult& result);

}  // namespace keelson::trace
