// backend/rocks/status.h
//
// From RocksDB's statuses to ours, with what the operator can do.

#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "rocksdb/io_status.h"
#include "rocksdb/status.h"

namespace keelson::backend::rocks {

// `doing` starts the message: "opening /var/lib/…".
absl::Status to_status(const rocksdb::Status& status, std::string_view doing);

// Whether it is the system's answer `error` (an errno, of which RocksDB keeps only the text).
bool says(const rocksdb::IOStatus& status, int error);

}  // namespace keelson::backend::rocks
