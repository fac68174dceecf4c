// tests/cluster/alter.h
//
// Makes the store of a member that does not run hold something else than the others': what a fault
// of memory, a disk or a program might leave. Its checksums are right, so nothing but a comparison
// of members finds it.
//
// Threads: one.

#pragma once

#include <string>

#include "absl/status/status.h"

namespace keelson::cluster {

// The newest value under `key` becomes another one of the same size. `data_dir` is Keelson's.
// NotFound: there is none.
absl::Status alter_value(const std::string& data_dir, const std::string& key);

}  // namespace keelson::cluster
