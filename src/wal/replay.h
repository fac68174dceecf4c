// wal/replay.h
//
// Replay turns the records of a log into what they say: entries past a snapshot mark, the last hard
// state, the metadata, the marks. It holds them to what every log obeys, because the sums do not
// cover a record's type: an entry read as a hard state must not pass.
//
// Place: one per reading of a log (open, verify, search for a mark). Threads: one caller at a time.
// Memory: entries that are not known to be committed yet are held back, at most kHeldBytes of them;
//   of those beyond only the place in the log is kept (24 bytes each), and they are read again when
//   their turn comes. So it is bounded, whatever the log says, by the number of its entries.

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
  static constexpr uint64_t kHeldBytes = 16 << 20;

  // Without `from`, only marks, state and metadata are gathered, and entries may begin anywhere.
  // `visit` may be empty.
  Replay(std::optional<SnapshotMark> from, const EntryVisitor& visit)
      : from_(from), everything_(false), visit_(visit) {}

  // From wherever the log begins, all of its entries, and its marks. A mark that no entry was read
  // for stands for a state of another member's, which took the place of what was not committed
  // here: that is left out, and the entries leap to behind the mark.
  struct Everything {};
  Replay(Everything, const EntryVisitor& visit) : everything_(true), visit_(visit) {}

  // Reads `reader` to its end; says whether the log is torn there. Errors of `visit` come back as
  // they are.
  absl::StatusOr<LogReader::Outcome> run(LogReader& reader);

  // NotFound "wal: snapshot not found" unless the mark `from` was met. A mark at that index with
  // another term failed run() with FailedPrecondition "wal: snapshot mismatch".
  absl::Status found() const;

  const Bytes& metadata() const { return *metadata_; }
  const raft::HardState& state() const { return state_; }
  // Those met, in order; only without `from`, or of everything.
  const std::vector<wire::WalSnapshot>& marks() const { return marks_; }
  // Of the last entry or, further on, mark: where the next segment begins.
  Index last_index() const { return last_; }
  // What a crash left of a mark and the commit that follows it, when the log ends so: not made.
  struct UnfinishedMark {
    LogReader::Place place;
    Index index;
    Index last_before;  // last_index() without it
  };
  const std::optional<UnfinishedMark>& unfinished_mark() const { return unfinished_; }
  uint64_t entries() const { return entries_; }

 private:
  absl::Status take(const LogReader::Record& record);
  absl::Status take_entry(const LogReader::Record& record);
  absl::Status check_entry(const raft::Entry& entry) const;
  void hold_back(LogReader::Place place, raft::Entry entry);
  absl::Status deliver_to(LogReader& reader, Index index);
  absl::StatusOr<raft::Entry> take_first(LogReader& reader);
  size_t pending() const { return held_.size() + beyond_.size(); }
  absl::Status take_state(std::string_view data);
  absl::Status take_metadata(const LogReader::Record& record);
  absl::Status take_mark(const LogReader::Record& record);
  void drop_replaced(const SnapshotMark& mark);
  bool is_of_entries(const wire::WalSnapshot& mark) const;
  void leap_unless_before(Index index);

  const std::optional<SnapshotMark> from_;
  const bool everything_;  // there is no from_ then
  const EntryVisitor& visit_;

  std::optional<Bytes> metadata_;
  raft::HardState state_;  // each field only ever grows; the vote only with the term
  std::vector<wire::WalSnapshot> marks_;
  std::optional<UnfinishedMark> unfinished_;  // the last record, if so; its index > state_.commit
  bool found_ = false;
  Index last_;  // of the last entry or mark
  // The last entry's, for order: entries lie one after the other, or go back to replace a tail.
  Index last_entry_;
  Term last_entry_term_;
  Term term_at_from_;  // of the newest entry at from_->index; 0: none was met
  // Past `from_`, consecutive, not yet known to be committed: `held_`, then those at `beyond_`; the
  // last is pending_last_. A log may also overwrite entries from below `from_` on; then none of
  // these is left, where etcd keeps stale ones.
  // delivered_ < the first of them; held_bytes_ <= kHeldBytes but for one entry; held_ is empty
  // only if beyond_ is, or while it is being worked off.
  std::deque<raft::Entry> held_;
  std::deque<LogReader::Place> beyond_;
  uint64_t held_bytes_ = 0;
  Index pending_last_;
  Index delivered_;  // to visit_, up to here; <= state_.commit until the end of the log
  // Only of everything: the terms of what was read, each with the index from which on it holds; and
  // a mark of a state that may have taken the place of what is pending, until what follows shows
  // it.
  std::vector<SnapshotMark> terms_;
  std::optional<SnapshotMark> leap_;
  uint64_t entries_ = 0;
};

}  // namespace keelson::wal
