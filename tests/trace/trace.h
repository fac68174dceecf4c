// tests/trace/trace.h
//
// A recording of what a kube-apiserver and an etcd said to each other, read into memory.
// Format: one JSON object a line (README.md beside the recording), xz-compressed.
//
// Threads: a plain value.

#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace keelson::trace {

struct Message {
  bool from_client = false;
  std::string body;
};

// One call as recorded: a unary one, or a stream.
struct Call {
  int stream = 0;
  std::string path;
  std::multimap<std::string, std::string> metadata;  // without the deadline: ours are other
  std::vector<Message> messages;                     // in the order seen
  int status = 0;
  std::string message;
  bool ended = false;  // false: the client cancelled, or the recording stopped

  const std::string& request() const;  // the first message of the client; empty if none
  const std::string& answer() const;   // the first of the server
};

struct Trace {
  std::vector<Call> calls;  // in the order opened
};

// NotFound when there is no such file; DataLoss names the line that does not parse.
absl::StatusOr<Trace> read_trace(const std::string& path);

}  // namespace keelson::trace
