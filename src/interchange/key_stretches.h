// interchange/key_stretches.h
//
// The key bucket of etcd's database in stretches, which a few threads read into a store, each with
// a view of the file for itself; and then, as the last thing before the store takes the database's
// place, what the store gives back, held against the sums of what the file had.
//
// Threads: one caller, and a few of its own, which are as nice as the caller's. `progress` is
//   called on the caller's, with what all have read.
// Memory: a File's for each thread, with a small cache, and what a KeyLoad has.
// Errors: DataLoss naming the revisions between which the store has something else; Cancelled when
//   `progress` says no; those of the file and of the store.

#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "backend/key_load.h"
#include "boltfile/file.h"

namespace keelson::interchange {

struct ReadProgress {
  uint64_t records = 0;
  uint64_t bytes = 0;  // of keys and values; file.size() is a little more than all of them
};
// False: stop.
using TellProgress = std::function<bool(const ReadProgress&)>;

// The records at or above `from` and below `until`, keys of the bucket; no bounds where those are
// empty.
struct KeyStretch {
  std::string from, until;
  ReadProgress total;
  uint32_t sum = 0;  // CRC-32C over the sizes and bytes of all of them
};

struct KeyReading {
  TellProgress progress = {};
  // Of so many stretches, about; 0: as many as the size is worth.
  size_t stretches = 0;
};
// All of them, in order. `load` null: they are only read.
absl::StatusOr<std::vector<KeyStretch>> read_keys(const boltfile::File& file,
                                                  backend::KeyLoad* load,
                                                  const KeyReading& how = {});

struct KeyCheck {
  uint64_t added = 0;  // so many records stand behind those of the file, in the store
  TellProgress progress = {};
};
absl::Status check_keys(const std::vector<KeyStretch>& stretches, const backend::Reader& store,
                        const KeyCheck& how = {});

}  // namespace keelson::interchange
