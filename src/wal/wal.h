// wal/wal.h
//
// Wal is the member's durable log: raft entries, hard states and snapshot marks, on disk in etcd's
// write-ahead log format (docs/formats/wal.md), so that etcd opens our directory and we open its.
//
// Place: owned by the node, driven from the log lane.
// Threads: one caller at a time, any thread. Nothing here locks; nothing runs in the background.
// Durability, the one statement of it, for a crash of the process or of the power at any moment:
//   1. create() and open() hand out nothing that could still be lost. Before they return, what they
//      found is synced, whoever wrote it: the segments, their names, and the directories above.
//   2. append() and save_snapshot() promise nothing. After sync() returned ok, everything appended
//      before it is durable. A crash leaves a prefix of the records appended, never a shorter one
//      than at the last sync.
//   3. A mark at index i promises that a commit index of at least i stands before it in the log; so
//      a mark that survives is valid. The caller's part: what the mark speaks of (the store up to
//      i, or a snapshot) is durable before save_snapshot() is called.
//   4. A segment is deleted when it holds nothing past the newest durable mark; never before.
//   In the order in which the disk sees it: the store up to i; a commit index and the mark at i;
//   their sync; then deletions. And from segment to segment: the old one whole and synced; the
//   head of the next, synced; its name; the directory's sync; then records.
// Full disk: when the space for a record cannot be had, append() says ResourceExhausted and has
//   changed nothing: the log is whole, everything synced stays, the same append may be tried again
//   once there is space. Space is taken a segment (64 MB) ahead, so the disk being full is met here
//   and not in sync(). Should a write inside sync() still meet it (file systems that cannot
//   reserve), sync() says ResourceExhausted, keeps what is buffered, and may be called again.
//   A little of what is taken is kept for what gives space back or lets a member serve: marks, and
//   the states and empty entries of elections; what carries data is refused before it is used.
// Failure: any other failed write or sync poisons the Wal: every later call returns the same error.
//   We never retry an fsync: after a failed one the kernel may have dropped the dirty pages, and
//   the second "success" would be a lie. The node stops instead.
// Exclusion: the segments are locked as etcd locks them; a second process (etcd included) on the
//   same directory is refused.
// Failpoints: docs/formats/wal.md (wal_before_append, wal_after_append, wal_before_sync,
//   wal_after_sync, wal_cut_*, wal_*_mark, wal_*_release).

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/ids.h"
#include "wal/file_system.h"
#include "wal/segment_name.h"
#include "wire/raft_types.h"
#include "wire/wal_record.h"

namespace keelson::wal {

// Where a replay starts: the raft snapshot (or backend state) that the node already has.
// {0, 0} is the start of every log that was never compacted.
struct SnapshotMark {
  Index index;
  Term term;
  friend bool operator==(const SnapshotMark&, const SnapshotMark&) = default;
};

// What the log tells the metrics. Called on the caller's thread; must not call back.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void synced(Duration took) {}                 // etcd_disk_wal_fsync_duration_seconds
  virtual void wrote(uint64_t bytes, Duration took) {}  // etcd_disk_wal_write_*
};

struct Options {
  FileSystem* fs = nullptr;             // null: the machine's
  const Clock* clock = nullptr;         // null: the system's; measures syncs
  Observer* observer = nullptr;         // null: nobody; outlives the Wal
  uint64_t segment_bytes = 64'000'000;  // etcd's; a segment ends after the append that passes it
  size_t max_segments = 5;              // etcd's --max-wals: release_to() leaves that many; 0: all
  size_t max_held = 16;                 // segments that release_to() keeps for somebody else
  bool unsafe_no_fsync = false;         // etcd's --unsafe-no-fsync: no durability at all
};

// One entry of the replay: each index once, in order. (Entries that a new leader overwrote are gone
// by then: what is not known to be committed is held back until the log says so, or ends.)
// `entry.data` shares the reader's buffer. An error ends the open with it.
using EntryVisitor = std::function<absl::Status(raft::Entry entry)>;

// The plain receiver. For tools, tests and small logs.
EntryVisitor collect_into(std::vector<raft::Entry>* entries);

struct Opened;

class Wal {
 public:
  // Makes a new log in `dir`, whole or not at all (built in "<dir>.tmp", then renamed), and durable
  // when this returns. `metadata` stands at the head of every segment (wire::WalMetadata).
  // AlreadyExists: `dir` holds a log.
  // `first` is the name of its first segment. One that does not begin at 0 is for the copy of a log
  // that has let go of what was before: it has no mark {0, 0}, and the caller gives it one further
  // on, as no log is opened without.
  static absl::StatusOr<std::unique_ptr<Wal>> create(const std::string& dir,
                                                     std::string_view metadata, Options options,
                                                     SegmentName first = {});

  // Opens the log in `dir` for reading and then appending. Replays every entry past `from` into
  // `visit`. A torn tail is cut off with a warning, a copy kept as "<segment>.broken".
  //   NotFound            no log in `dir`; or "wal: snapshot not found": `from` is not marked in it
  //   FailedPrecondition  another process holds it; or "wal: snapshot mismatch": `from.index` is
  //                       marked with another term
  //   DataLoss            it is damaged where no crash can have damaged it; says what to do
  static absl::StatusOr<Opened> open(const std::string& dir, SnapshotMark from, Options options,
                                     const EntryVisitor& visit);

  // close() is the orderly end; this drops what was not synced.
  ~Wal();
  Wal(const Wal&) = delete;
  Wal& operator=(const Wal&) = delete;

  // Buffers entries, then the hard state (an empty one means "unchanged" and is not written). When
  // the segment is full now, syncs it and goes over to the next one before it returns.
  // REQUIRES: `entries` are consecutive, and the first is at most last_index() + 1.
  absl::Status append(const raft::HardState& state, std::span<const raft::Entry> entries);

  // Buffers the mark "a snapshot at `mark` exists", which open() looks for; in front of it a hard
  // state whose commit covers it, unless there is one. Sync before the mark is relied on. `conf` is
  // the membership at that index.
  // REQUIRES: what is at or below `mark` is committed, and durable elsewhere.
  absl::Status save_snapshot(SnapshotMark mark, const raft::ConfState& conf);

  // One write, one fdatasync, for everything buffered. Does nothing when all is synced.
  absl::Status sync();

  // The caller will never open this log below `index` again: segments that hold only older
  // entries are unlocked and deleted, but for the newest `max_segments` ones and those that the
  // newest durable mark needs. What cannot be deleted only costs space: it is logged once and
  // tried again next time. Segments that hold anything from `needed_from` on are kept for somebody
  // else who reads this log, unless they are more than `max_held`, or space is short: then nothing
  // is kept for him, and he finds that it has gone. Nor is it when `needed_from` has gone already;
  // 0 is for who does not know yet what he needs.
  void release_to(Index index, Index needed_from = Index(UINT64_MAX));

  // Space is short, or is not any more. While it is, release_to() keeps no more segments than it
  // has to (and what was kept beyond that goes at once), no more than a megabyte is taken ahead
  // (what was taken before is given back down to that), and give_back() is of use.
  void be_frugal(bool on);
  // Goes over to a small new segment when all that is in a tail of some size is older than the
  // newest durable mark: so the next mark lets go of that tail. Only while frugal. The errors of
  // append(); none for a lack of space.
  absl::Status give_back();

  // Syncs, unlocks, closes. The Wal is of no use afterwards. Ok the second time.
  absl::Status close();

  // Index of the last entry (or snapshot mark) appended.
  Index last_index() const;
  // Bytes that the next sync() has to make durable.
  uint64_t unsynced_bytes() const;
  // Ok, or what poisoned it.
  absl::Status health() const;
  const std::string& dir() const;

 private:
  class Impl;
  explicit Wal(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

struct Opened {
  std::unique_ptr<Wal> wal;
  Bytes metadata;
  raft::HardState state;
  uint64_t entries = 0;   // handed to the visitor
  bool repaired = false;  // a torn tail was cut off
};

// Whether `dir` holds a log. A directory that cannot be looked into is an error, not "no log".
absl::StatusOr<bool> exists(const std::string& dir, FileSystem* fs = nullptr);

// Gives back the space that a log which is open nowhere had prepared for its next segment: worth
// nothing after its end, and perhaps what a full disk lacks for a start. What cannot be removed
// stays.
void drop_prepared(const std::string& dir, FileSystem* fs = nullptr);

// The newest valid mark at or below `at_most`: valid is what the last commit in the log covers. A
// node restarts from it. Reads only, needs no lock, accepts a torn tail. NotFound when there is
// none. Cost: reads the newest segment (there the last commit is) and, one at a time, older ones
// back to the one that holds the mark, each once and whole; memory: one reader's block.
absl::StatusOr<wire::WalSnapshot> newest_mark(const std::string& dir, Index at_most,
                                              FileSystem* fs = nullptr);

struct Contents {
  Bytes metadata;
  raft::HardState state;  // the last one
  uint64_t entries = 0;   // handed to the visitor
};

// Reads the log from `from` to its end without changing or locking anything, and hands every entry
// past it to `visit`; the errors of open(). A torn tail is fine.
absl::StatusOr<Contents> read(const std::string& dir, SnapshotMark from, const EntryVisitor& visit,
                              FileSystem* fs = nullptr);

struct History {
  SegmentName first;                     // the oldest segment that was read
  std::vector<wire::WalSnapshot> marks;  // as they stand in the log
  raft::HardState state;                 // the last one
};

// Reads all of the log, from where its oldest segment begins (or the oldest behind a missing one),
// mark or no mark, and hands out every entry as read() does: each index once, in order. Where the
// state of another member took the place of what was there, the indexes leap to behind its mark,
// and what was not known to be committed by then is left out.
// Memory: that of read(), and the marks. Every segment is open meanwhile.
absl::StatusOr<History> read_history(const std::string& dir, const EntryVisitor& visit,
                                     FileSystem* fs = nullptr);

// read() with nobody to hand them to; answers the last hard state.
absl::StatusOr<raft::HardState> verify(const std::string& dir, SnapshotMark from,
                                       FileSystem* fs = nullptr);

}  // namespace keelson::wal
