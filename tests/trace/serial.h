// tests/trace/serial.h
//
// The recording replayed one call after another against a fresh server, every answer compared with
// the recorded one; then every watch stream from its recorded start, its events compared.
//
// Order (the recording's README): by the revision in the recorded answer's header; within one
// revision the call that made it first, then the others as recorded. A LeaseGrant names the
// recorded id.

#pragma once

#include "tests/harness/client.h"
#include "tests/trace/trace.h"

namespace keelson::trace {

struct SerialResult {
  int calls = 0;
  int differences = 0;
  int unimplemented = 0;  // the server has no such method (RangeStream on 3.5); not compared
  int watches = 0;
  int events = 0;
  int watch_differences = 0;
  int compacted = 0;  // watches whose start the recorded compaction took away
};

SerialResult replay_serially(const Trace& trace, harness::Client& client);

// The unary calls (and server streams) that a replay sends, in that order, requests adapted.
struct Planned {
  const Call* call = nullptr;
  std::string request;
};
std::vector<Planned> plan(const Trace& trace);

}  // namespace keelson::trace
