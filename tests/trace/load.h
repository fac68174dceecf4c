// tests/trace/load.h
//
// The recording as a load: its calls taken by many clients at once, as fast as they are answered.
// Revisions then differ from the recording's, so only errors are judged: a call may fail only as a
// store whose history took another course makes it fail (a revision not there, or compacted), and,
// where members come and go, as Unavailable or for lack of time: then its client goes on at another
// member, as etcd's do.

#pragma once

#include <atomic>
#include <map>
#include <string>
#include <vector>

#include "tests/trace/trace.h"

namespace keelson::trace {

struct LoadResult {
  int calls = 0;
  int unexpected = 0;     // errors
  int other_history = 0;  // calls about revisions that this run does not have
  int unavailable = 0;    // where that is expected
  int unimplemented = 0;
  double seconds = 0;
  std::map<std::string, std::vector<double>> latencies;  // seconds, by method, sorted
};

struct LoadPlan {
  std::vector<std::string> addresses;  // clients begin at them in turn
  int clients = 1;                     // connections, each with one call at a time
  int rounds = 1;                      // of the whole recording
  bool members_come_and_go = false;
  const std::atomic<bool>* enough = nullptr;  // ends it before that, once it is true
};
LoadResult replay_concurrently(const Trace& trace, const LoadPlan& plan);
void print_percentiles(const LoadResult& result);

}  // namespace keelson::trace
