// wal/follower.h
//
// Follower reads a log while it is being written, by this process or another, and goes on where it
// left off: it hands out the entries that are final, in order, each once.
//
// Final is an entry at or below one of which the caller knows that it was applied: when the log has
// come to that index with that term, what is before it is the history (log matching, Raft paper,
// 5.3), whatever the log holds of leaders that lost. Records are written before their entries are
// applied, so an entry that was applied before next() is called is there whole, however the writer
// is at work further on. Before it gets there, entries are final that the log itself notes to be
// committed. (Not on the word of a state alone: in logs of before, the mark of a snapshot that
// takes the place of what is there comes right behind its state. Only what is behind the next
// record counts.)
//
// What it meets at the very end and cannot read is taken for not written yet; end() tells what it
// was. Before that, damage is damage.
//
// Place: the archive has one on the member's log, and a restore one on the archive's.
// Threads: one caller at a time. Changes nothing on disk, locks nothing.
// Memory: entries that the log does not know to be committed yet: what the writer held in memory
//   itself. A block of the file. A few descriptors.
// Errors: OutOfRange: what comes next is not in this log: it was released, or a snapshot of another
//   member took its place. FailedPrecondition: it is not the log that was followed before: it lacks
//   the entry behind which to go on, or has another there. DataLoss: damage. Those of the disk.
//   After one of these three nothing more comes of it; after others the call may be repeated.

#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/ids.h"
#include "wal/log_reader.h"
#include "wal/wal.h"
#include "wire/raft_types.h"

namespace keelson::wal {

// Which entry it was, for who meets it again.
uint32_t sum_of(const raft::Entry& entry);

class Follower {
 public:
  struct Behind {
    Index index;
    Term term;
    std::optional<uint32_t> sum;  // sum_of() the entry, if that is known
  };

  struct Options {
    FileSystem* fs = nullptr;  // null: the machine's
    // Nothing is ever written to this log but what was committed: all that is there is final.
    bool of_committed = false;
  };

  // The first entry handed out is the one after `behind`, or after 0. Opens the first segments, and
  // reads nothing yet. OutOfRange: the log begins later. NotFound: there is no log.
  static absl::StatusOr<std::unique_ptr<Follower>> open(const std::string& dir, Behind behind,
                                                        Options options);

  // The next entry that is final, and not past `applied`; nullopt: there is none yet.
  absl::StatusOr<std::optional<raft::Entry>> next(SnapshotMark applied);

  // Of the last entry handed out.
  Index handed() const { return handed_; }
  // Why the last reading came to an end; Ok: nothing more was written.
  const absl::Status& end() const { return end_; }
  // As the log's segments have it; empty until the first record was read.
  const Bytes& metadata() const { return metadata_; }

 private:
  Follower(std::string dir, Behind behind, Options options);

  absl::Status open_ahead();
  void leave_others();
  // False: the log ends here, for now.
  absl::StatusOr<bool> read_record();
  absl::StatusOr<bool> find_more();
  absl::Status take(const LogReader::Record& record);
  absl::Status take_entry(const LogReader::Record& record);
  absl::Status take_mark(std::string_view data);
  static absl::Status replaced(Index mark);
  void take_behind(Term term, std::optional<uint32_t> sum);
  absl::Status fail(absl::Status status);
  Index final_to(SnapshotMark applied) const;
  const raft::Entry* held_at(Index index) const;
  // REQUIRES: !renew_.
  bool in_last_opened() const { return &reader_->segment() == &segments_.back(); }

  const std::string dir_;
  FileSystem& fs_;
  const bool of_committed_;
  const Behind behind_;

  // Open; one of them is being read. Behind them the ones of ahead_, in order.
  std::vector<Segment> segments_;
  std::deque<SegmentName> ahead_;
  std::unique_ptr<LogReader> reader_;
  bool renew_ = false;  // the first is the one that is read, and the reader is to be told of all
  bool fresh_ = false;  // it was, since next() was called
  Bytes metadata_;
  // The log's own word: what counts, and what the last record said, if that was a state.
  // commit_ <= said_commit_.
  Index commit_;
  Index said_commit_;
  // A mark of a snapshot that takes the place of what is held, if what follows says so: a state
  // that covers it, or an entry behind it. Another state or entry shows that it was never made, and
  // a segment's head shows nothing. > said_commit_
  std::optional<Index> unfinished_mark_;

  // Whether the last that the log said of behind_.index is what it should be. Nothing is handed out
  // before.
  bool met_behind_ = false;
  // Consecutive, the first at handed_ + 1; entries that replace others have done so.
  std::deque<raft::Entry> held_;
  Index handed_;  // >= behind_.index
  absl::Status end_;
  absl::Status failure_;
};

}  // namespace keelson::wal
