// interchange/log_copy.h
//
// A member's log carried to another place, for those who go on from a state: the same member and
// cluster, a mark where the state stands, and every entry past it. The format is etcd's on both
// sides.
//
// In front of the mark stands the history: what the log still has of the entries that are in the
// state already, each index once, as they were, with the marks between them. Nobody applies it
// again. It is there for who reads a log afterwards: people, etcd's own checks, an archive. It
// begins where the log begins, so what bounds the one (--max-wals, what the archive has not read)
// bounds the other. And it is never in the way: one that cannot be read, or that the disk has no
// room for, is left out with a warning.
//
// For Keelson the log has the mark at its very beginning, too: as far as an archive knows a state
// has come and taken the place of all before (wal/follower.h). It must not go on across what an
// etcd applied, which keeps a few things that are in no entry, and carries some requests out that
// Keelson refuses.
//
// Threads: one caller.
// Memory: 16 MB of what is past the state; a megabyte of entries at a time; the marks.
// Durability: the new log is whole and synced when copy_log() returns Ok. The old one is only read;
//   it may end in a torn record, and is locked by nobody here.
// Time: reads the log up to three times: past the mark, all of it, and once more to copy it.
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
#include "wal/segment_name.h"
#include "wal/wal.h"
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
  uint64_t segment_bytes = wal::Options().segment_bytes;  // of the copy
};

struct CopiedLog {
  wire::WalMetadata metadata;
  Term term;                       // of the entry at `index`
  uint64_t entries = 0;            // past it
  uint64_t entries_of_before = 0;  // at or below it
};

// What a log has of before the state.
struct LogHistory {
  wal::SegmentName first;                // where the log is to begin; at or below the state
  std::vector<wire::WalSnapshot> marks;  // by index, all below where the state stands
  uint64_t bytes = 0;                    // on the disk, at most
};

// A log that was read, and can be copied.
struct CheckedLog {
  Bytes metadata;
  Term term;  // of the entry where the state stands; 0: the log does not reach it
  raft::HardState state;
  // All past the state, unless they are so many that copy_log() reads them again.
  std::optional<std::vector<raft::Entry>> entries;
  uint64_t bytes = 0;                 // that they take on the disk, at most
  std::optional<LogHistory> history;  // nullopt: left out
};

// Reads the log and changes nothing. Ok if everything past the state can be applied.
absl::StatusOr<CheckedLog> check_log(const LogCopy& copy);

// Leaves the history out when the disk of `copy.to` has no room for it beside the rest of the log
// and `beside` more bytes at `beside_at`, if that is on the same disk.
void fit_history(const LogCopy& copy, uint64_t beside, const std::string& beside_at,
                 CheckedLog* checked);

// `checked`: as check_log() answered; its entries are used up.
absl::StatusOr<CopiedLog> copy_log(const LogCopy& copy, CheckedLog checked);

}  // namespace keelson::interchange
