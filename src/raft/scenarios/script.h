// raft/scenarios/script.h
//
// Scenario files: transcripts of a command, "----", and the whole output it must give (the format
// of cockroachdb/datadriven, in which etcd-raft keeps its scenarios):
//
//   # a comment
//   command arg key=value key=(v1,v2)
//   optional input lines
//   ----
//   expected output, up to a blank line
//
// Output that has blank lines stands between two pairs of "----" lines.

#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace keelson::raft::scenarios {

struct Argument {
  std::string key;
  std::vector<std::string> values;  // empty: a bare word
};

struct Command {
  int line = 0;
  std::string text;  // the command line as it stands
  std::string name;
  std::vector<Argument> arguments;
  std::string input;  // trimmed
  std::string expected;

  // The value of `key`; null if there is none.
  const std::string* find(std::string_view key) const;
};

// One file: commands, and what stands around them (for rewriting).
struct Script {
  struct Piece {
    std::string before;  // comments, blank lines, the command and its input, verbatim
    Command command;     // no name: only `before` counts (the end of the file)
    bool has_output = false;
  };
  std::vector<Piece> pieces;
};

absl::StatusOr<Script> parse_script(std::string_view text);

// Runs one command and answers its output. An error means that the script itself is wrong (an
// argument missing or malformed).
using Handler = std::function<absl::StatusOr<std::string>(const Command&)>;

struct Outcome {
  int commands = 0;
  std::vector<std::string> differences;  // one text each: command, expected, actual
  std::string rewritten;                 // the file with actual output in place
};

Outcome run_script(const Script& script, const Handler& handler);

// What follows "----" for `output`.
std::string framed_output(const std::string& output);

// Numbers and booleans as Go parses them; InvalidArgument otherwise.
absl::StatusOr<uint64_t> parse_number(std::string_view text);
absl::StatusOr<bool> parse_bool(std::string_view text);

}  // namespace keelson::raft::scenarios
