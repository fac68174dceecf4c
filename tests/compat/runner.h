// tests/compat/runner.h
//
// Runs one script against both servers, step by step, and says where their answers part.

#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "tests/compat/script.h"

namespace keelson::compat {

struct RunOptions {
  std::string reference;
  std::string subject;
  bool verbose = false;  // prints every step with its answer
};

struct Tally {
  int steps = 0;
  int requests = 0;     // steps that asked a server something
  int differences = 0;  // of steps
  int agreed = 0;       // steps whose declared difference was found as declared
};

// An error when a server cannot be started; differences are printed and counted.
absl::StatusOr<Tally> run_script(const Script& script, const RunOptions& options);

}  // namespace keelson::compat
