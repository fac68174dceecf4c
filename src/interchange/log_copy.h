// interchange/log_copy.h
//
// A member's log carried to another place, beginning behind a state: the same member and cluster, a
// mark where the state stands, and every entry past it. The format is etcd's on both sides.
//
// Threads: one caller.
// Durability: the new log is whole and synced when copy_log() returns Ok. The old one is only read;
//   it may end in a torn record, and is locked by nobody here.
// Errors: FailedPrecondition when something past the state could not be applied by those who are to
//   go on with it; DataLoss when the log does not reach the state; those of wal/wal.h.

#pragma once

#include <optional>
#include <string>

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
};

struct CopiedLog {
  wire::WalMetadata metadata;
  Term term;  // of the entry at `index`
  uint64_t entries = 0;
};

// Reads the log and changes nothing: its metadata, if everything past the state can be applied.
absl::StatusOr<Bytes> check_log(const LogCopy& copy);

// `metadata`: as check_log() answered.
absl::StatusOr<CopiedLog> copy_log(const LogCopy& copy, const Bytes& metadata);

}  // namespace keelson::interchange
