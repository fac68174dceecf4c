// ctl/run_program.h
//
// Runs another program to its end, with this process's streams and environment plus `variables`
// ("NAME=value"). Returns its exit code; 128 + n if signal n ended it; an error if it could not be
// started.

#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace keelson::ctl {

absl::StatusOr<int> run_program(const std::vector<std::string>& command,
                                const std::vector<std::string>& variables);

}  // namespace keelson::ctl
