// interchange/compare_keys.h
//
// The key bucket of etcd's database and of a store of ours, side by side, byte by byte: all of it
// is read on both sides, as the last thing before one takes the other's place.
//
// Threads: one caller; large ones are read in parts by a few threads of its own, each with a view
//   of the file for itself. `progress` is called on the caller's, with what all have read.
// Memory: what a File has, for each part.
// Errors: DataLoss naming the first revision that differs; Cancelled when `progress` says no; those
//   of the file and of the store.

#pragma once

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "backend/backend.h"
#include "boltfile/file.h"
#include "interchange/database_reader.h"

namespace keelson::interchange {

struct Comparing {
  uint64_t added = 0;  // so many records stand behind those of the file, in the store
  std::function<bool(const ReadProgress&)> progress = {};
  int parts = 0;  // 0: as many as the machine has use for
};

absl::Status compare_keys(const boltfile::File& file, const backend::Reader& store,
                          const Comparing& how = {});

}  // namespace keelson::interchange
