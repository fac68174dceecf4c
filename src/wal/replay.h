// wal/replay.h
//
// Replay turns the records of a log into what they say: entries past a snapshot mark, the last hard
// state, the metadata, the marks. It holds them to what every log obeys, because the sums do not
// cover a record's type: an entry read as a hard state must not pass.
//
// Place: one per reading of a log (open, verify, list of marks). Threads: one caller at a time.

#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "wal/log_reader.h"
#include "wal/wal.h"

namespace keelson::wal {

class Replay {
 public:
  // Without `from`, only marks, state and metadata are gathered, and entries may begin anywhere.
  // `visit` may be empty.
  Replay(std::optional<SnapshotMark> from, const EntryVisitor& visit)
      : from_(from), visit_(visit) {}

  // Reads `reader` to its end; says whether the log is torn there.
  absl::StatusOr<LogReader::Outcome> run(LogReader& reader);

  // NotFound "wal: snapshot not found" unless the mark `from` was met. A mark at that index with
  // another term failed run() with FailedPrecondition "wal: snapshot mismatch".
  absl::Status found() const;

  const Bytes& metadata() const { return *metadata_; }
  const raft::HardState& state() const { return state_; }
  const std::vector<wire::WalSnapshot>& marks() const { return marks_; }
  // Of the last entry or, further on, mark: where the next segment begins.
  Index last_index() const { return last_; }
  uint64_t entries() const { return entries_; }

 private:
  absl::Status take(const LogReader::Record& record);
  absl::Status take_entry(const LogReader::Record& record);
  absl::Status check_entry(const raft::Entry& entry) const;
  absl::Status deliver_to(Index index);
  absl::Status take_state(std::string_view data);
  absl::Status take_metadata(const LogReader::Record& record);
  absl::Status take_mark(std::string_view data);

  const std::optional<SnapshotMark> from_;
  const EntryVisitor& visit_;

  std::optional<Bytes> metadata_;
  raft::HardState state_;  // each field only ever grows; the vote only with the term
  std::vector<wire::WalSnapshot> marks_;
  bool found_ = false;
  Index last_;  // of the last entry or mark
  // The last entry's, for order: entries lie one after the other, or go back to replace a tail.
  Index last_entry_;
  Term last_entry_term_;
  // Past `from_`, consecutive, not yet known to be committed. A log may also overwrite entries from
  // below `from_` on; then none of these is left, where etcd keeps stale ones.
  std::deque<raft::Entry> pending_;
  Index delivered_;  // to visit_, up to here
  uint64_t entries_ = 0;
};

}  // namespace keelson::wal
