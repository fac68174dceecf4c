// backend/rocks/regular_files.h
//
// The machine's files, of which only regular ones are opened: whatever else lies in the store's
// directory under the name of one of its files (a pipe, say, whose other end never writes) is an
// error, and does not hang the start.
//
// Threads: any. Errors: kIOError.

#pragma once

#include <memory>

#include "rocksdb/file_system.h"

namespace keelson::backend::rocks {

std::shared_ptr<rocksdb::FileSystem> regular_files();

}  // namespace keelson::backend::rocks
