// archive/archive.h
//
// Archive keeps, in a directory of its own, what it takes to bring back any state of the member's
// last days: it reads the member's log behind the member, and now and then a state
// (docs/decisions/0018). It is driven: step() does a little and says when it wants to be called
// again, so that one thread, or a test, sets the pace.
//
// Place: one per member; server/archiving.h has the thread.
// Threads: step() and finish(): one caller at a time. counts(): any.
// Lag: what was applied is in the archive, durably, a second later, and what the disk takes.
// Bounds: memory: a few megabytes, and what the log had not committed (wal/follower.h). Disk:
//   Options; the newest snapshot and what follows is kept whatever they say.
// Failure: nothing of it is the member's. A disk that is full or fails is tried again, with pauses
//   of up to a minute; history that is lost meanwhile makes a gap (Counts::gaps), and what follows
//   begins with a snapshot. A directory that is somebody else's is not written to.

#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "archive/inventory.h"
#include "archive/snapshot_writer.h"
#include "archive/stretch.h"
#include "backend/backend.h"
#include "base/clock.h"
#include "base/ids.h"
#include "wal/file_system.h"
#include "wal/follower.h"

namespace keelson::archive {

// What the archive asks of the member. Called by step() and finish().
class Member {
 public:
  virtual ~Member() = default;
  // The newest state there is. It holds on to its store.
  virtual std::shared_ptr<const backend::Snapshot> state() = 0;
  // The log is needed from this entry on.
  virtual void need_log_from(Index index) = 0;
};

struct Options {
  std::string dir;
  std::string member_log;  // the directory of the log that is archived
  Owner owner;
  // A snapshot after so much time, if anything has happened.
  Duration snapshot_interval = std::chrono::hours(24);
  // 0: no bound. What is older than so long is not kept; so many bytes; so many snapshots.
  Duration max_age{0};
  uint64_t max_bytes = 0;
  uint64_t max_snapshots = 0;
  // Of the disk, not to be used. Whoever asks for the free bytes gets UINT64_MAX where they cannot
  // be told.
  uint64_t keep_free = 0;
  std::function<uint64_t()> free_bytes = [] { return UINT64_MAX; };
  uint64_t segment_bytes = 64'000'000;
  wal::FileSystem* fs = nullptr;  // null: the machine's
  const Clock* clock = nullptr;   // null: the system's
};

// For metrics; each is written by whoever drives the archive.
struct Counts {
  std::atomic<bool> healthy{false};
  std::atomic<uint64_t> index{0};    // archived, and durable
  std::atomic<int64_t> revision{0};  // of the newest time that can be brought back
  std::atomic<int64_t> unix_ms{0};   // that time
  // When all that was applied could be brought back, the last time.
  std::atomic<int64_t> whole_ms{0};
  // Whether what is archived up to `index` can be brought back: the stretch has a snapshot.
  std::atomic<bool> restorable{false};
  std::atomic<uint64_t> bytes{0};       // that the archive takes
  std::atomic<uint64_t> snapshots{0};   // that are there
  std::atomic<int64_t> snapshot_ms{0};  // of the newest one's state; 0: there is none, or unknown
  std::atomic<uint64_t> gaps{0};        // stretches that ended because history was lost
  std::atomic<uint64_t> failures{0};    // of the disk and the like
};

class Archive {
 public:
  // `member` outlives this.
  Archive(Member& member, Options options);
  ~Archive();

  // Returns how long to wait before the next call; later ones are fine, too.
  Duration step();
  // At the member's orderly end: what was applied by now is archived too, and the snapshot without
  // which nothing of it could be brought back, if that can be done within `patience`; if not, the
  // log says so. Nothing more is done afterwards.
  void finish(Duration patience);

  const Counts& counts() const { return counts_; }

 private:
  absl::StatusOr<Duration> work(MonotonicTime now);
  Duration fail(const absl::Status& why, MonotonicTime now);
  void let_go();

  // archive_begin.cc
  absl::Status open_directory();
  absl::Status make_directory();
  absl::Status resume();
  absl::StatusOr<bool> continues(const Stretch& stretch);
  absl::Status begin(MonotonicTime now);
  void end_stretch(const absl::Status& why);

  // archive.cc
  absl::StatusOr<Duration> look(MonotonicTime now);
  absl::StatusOr<Moment> moment_of(const backend::Snapshot& state) const;
  bool wants_snapshot(const Moment& now) const;
  absl::StatusOr<Duration> copy_some();
  absl::StatusOr<bool> gather();
  absl::Status reached();
  void is_whole(int64_t unix_ms);
  void show_noted();
  absl::Status write_snapshot();
  bool lacks_snapshot() const;
  bool finish_log(MonotonicTime until);
  void finish_snapshot(MonotonicTime until);
  bool lacks_space() const;
  void has_space();
  Duration wait_for_space(std::string_view what);

  // archive_bounds.cc
  absl::Status prune(bool for_space);
  absl::StatusOr<Inventory> take_stock();
  bool too_much(const Inventory& there);
  absl::Status remove_oldest(const Inventory& there);
  absl::Status remove_useless(Inventory* there);
  int64_t time_of(uint64_t stretch, const SnapshotName& snapshot);

  Member& member_;
  const Options options_;
  wal::FileSystem& fs_;
  const Clock& clock_;
  Counts counts_;

  // The lock on the directory; null: it is not open.
  std::unique_ptr<wal::File> marker_;
  bool was_there_ = false;  // the directory was found or made before: it is not made again
  // Both or none.
  std::unique_ptr<Stretch> stretch_;
  std::unique_ptr<wal::Follower> follower_;
  bool begin_anew_ = false;             // no stretch there is goes on
  std::optional<MonotonicTime> begun_;  // the last time that a stretch began here

  MonotonicTime not_before_;  // nothing is done earlier
  Duration backoff_{0};       // since things went well
  std::string told_;          // the error that the log knows of
  bool short_of_space_ = false;

  // What is to be reached, since when nothing of it came, and entries on the way.
  std::optional<Moment> target_;
  std::optional<MonotonicTime> stuck_since_;
  std::vector<raft::Entry> batch_;
  uint64_t batch_bytes_ = 0;
  MonotonicTime next_look_;
  MonotonicTime next_prune_, next_relief_;  // for the bounds, and for space

  std::unique_ptr<SnapshotWriter> writer_;  // null: none is being written
  bool written_ = false;                    // all of it; it waits for the log
  MonotonicTime no_snapshot_before_;
  uint64_t newest_bytes_ = 0;  // of the stretch's newest snapshot
  int64_t whole_ms_ = 0;       // when nothing that was applied was missing, the last time
  // By stretch and index: what the times say.
  std::map<std::pair<uint64_t, Index>, int64_t> snapshot_times_;
  bool told_too_large_ = false;
};

}  // namespace keelson::archive
