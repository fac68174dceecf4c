// boltfile/freelist.h
//
// The list of free pages, in both its forms: fewer than 65,535 are counted by the page's head, more
// by the first number of the list. It is read in pieces, however long it is.
//
// Threads: as the File's. Errors: DataLoss naming the page; those of the source.

#pragma once

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "boltfile/file.h"

namespace keelson::boltfile {

// Calls `use` for each number, as it stands there. The answer: pages that the list itself takes; 0
// when the file has none.
absl::StatusOr<uint64_t> read_freelist(File& file, absl::FunctionRef<void(PageId)> use);

}  // namespace keelson::boltfile
