// tests/cluster/verdict.h
//
// What clients of a cluster saw, held against the history that it keeps in the end. Revisions are a
// total order of all operations, so nothing has to be searched for:
//
// - What was acknowledged is in the history at the revision that its answer named, and nothing is
//   there that nobody asked for, or twice.
// - Linearizability: an operation that began after another had ended has not an earlier revision,
//   and a read shows what the history has at its revision.
//
// Pure: no threads, no clock, nothing of a cluster.

#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace keelson::cluster {

// With a good answer. `value` names a write: no two write the same.
struct Operation {
  bool write = false;
  int64_t began = 0, ended = 0;  // ns
  int64_t revision = 0;          // a read's: of its header
  std::string key, value;        // a read's: empty when there was no such key
};

struct Event {
  int64_t revision = 0;
  std::string key, value;
  bool operator==(const Event&) const = default;
};

struct Seen {
  std::vector<Operation> done;
  std::set<std::string> doubtful;  // values that were asked for, with no good answer
  std::vector<Event> history;      // in the order of revisions
};

// A line for each thing that must not be; none: all is well.
std::vector<std::string> wrongs_of(const Seen& seen);

}  // namespace keelson::cluster
