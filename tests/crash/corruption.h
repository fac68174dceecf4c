// tests/crash/corruption.h
//
// One wrong byte in a stopped server's files.

#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "base/random.h"

namespace keelson::crash {

enum class Target { kWal, kBackend };

// Changes one byte, mostly in what is written (not in preallocated zeros), of one file of `target`
// below `data_dir`. Says which. NotFound when there is no such file.
absl::StatusOr<std::string> corrupt_one_byte(const std::string& data_dir, Target target,
                                             Random* random);

}  // namespace keelson::crash
