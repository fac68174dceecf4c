// interchange/log_copy.h
//
// A member's log carried to another place, beginning behind a state: the same member and cluster, a
// mark where the state stands, and every entry past it. The format is etcd's on both sides.
//
// Threads: one caller.
// Memory: 16 MB of what is past the state, and an entry.
// Durability: the new log is whole and synced when copy_log() returns Ok. The old one is only read;
//   it may end in a torn record, and is locked by nobody here.
// Errors: FailedPrecondition when something past the state could not be applied by those who are to
//   go on with it, or might be by them alone; DataLoss when the log does not reach the state; those
//   of wal/wal.h.

#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "interchange/applicable.h"
#include "raft/types.h"
#include "wire/wal_record.h"

namespace keelson::interchange {

struct LogCopy {
  std::string from;
  // A mark in it, at or below where the state stands.
  wire::WalSnapshot mark;
  std::string to;  // a directory that is not there
  Index index;     // where the state stands
  raft::ConfState conf_state;
  // For an etcd 3.<minor>, which ends when an entry raises the cluster's version above its own:
  // such entries name its version instead. nullopt: every entry stays as it is.
  std::optional<int> minor = {};
  AppliedBy applied_by = AppliedBy::kKeelson;
  // Users and roles are in force where the state stands.
  bool rights_count = false;
};

struct CopiedLog {
  wire::WalMetadata metadata;
  Term term;  // of the entry at `index`
  uint64_t entries = 0;
};

// A log that was read, and can be copied.
struct CheckedLog {
  Bytes metadata;
  Term term;  // of the entry where the state stands; 0: the log does not reach it
  raft::HardState state;
  // All past the state, unless they are so many that copy_log() reads them again.
  std::optional<std::vector<raft::Entry>> entries;
};

// Reads the log and changes nothing. Ok if everything past the state can be applied.
absl::StatusOr<CheckedLog> check_log(const LogCopy& copy);

// `checked`: as check_log() answered; its entries are used up.
absl::StatusOr<CopiedLog> copy_log(const LogCopy& copy, CheckedLog checked);

}  // namespace keelson::interchange
