// ctl/outcome.h
//
// How a command ends: etcdctl's exit codes, carried inside absl::Status. A plain status (say, from
// an RPC) exits with kError; failure() sets the code and the text that follows "Error: ".
//
// Source of the codes: etcd v3.7.1, pkg/cobrautl.

#pragma once

#include <string_view>

#include "absl/status/status.h"

namespace keelson::ctl {

enum class ExitCode {
  kSuccess = 0,
  kError = 1,
  kBadConnection = 2,
  kInvalidInput = 3,  // a line of a transaction or of an interactive watch that does not parse
  kBadFeature = 4,    // a known flag with a value that is not supported
  kInterrupted = 5,
  kBadArgs = 128,
};

// "Error: <text>" on stderr, then exit with `code`.
absl::Status failure(ExitCode code, std::string_view text);

// Everything there is to say was printed already; only exit with `code`.
absl::Status already_reported(int code);

// The same failure with another exit code; ok stays ok.
absl::Status with_exit_code(absl::Status status, ExitCode code);

// The process's exit code for `status`.
int exit_code_of(const absl::Status& status);

// True if nothing more must be printed for this failure.
bool is_already_reported(const absl::Status& status);

}  // namespace keelson::ctl
