// utl/report.h
//
// What the commands print, in the formats of --write-out.
//
// Errors: exit code 4 for a format that there is not, or not for this answer.

#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>

#include "absl/status/status.h"
#include "boltfile/hash_kv.h"
#include "boltfile/snapshot_file.h"

namespace keelson::utl {

// Before the work: whether there is such a format.
absl::Status check_format(const std::string& format);

absl::Status print_status(const boltfile::SnapshotStatus& status, const std::string& format,
                          std::ostream& out);
absl::Status print_hash(const boltfile::KvHash& hash, const std::string& format, std::ostream& out);

}  // namespace keelson::utl
