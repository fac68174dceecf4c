// backend/rocks/status.h
//
// From RocksDB's statuses to ours, with what the operator can do.

#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "rocksdb/status.h"

namespace keelson::backend::rocks {

// `doing` starts the message: "opening /var/lib/…".
absl::Status to_status(const rocksdb::Status& status, std::string_view doing);

}  // namespace keelson::backend::rocks
