// archive/stretch.h
//
// Stretch is the one piece of unbroken history that an archive writes to: a log of committed
// entries, snapshots of states in it, and the times at which they were applied. It begins with a
// mark at the index behind which its entries are; whatever is said of a state from there on can be
// brought back as soon as there is a snapshot of one before it.
//
// Place: owned by Archive. Threads: one caller at a time.
// Durability: append() promises nothing; sync() makes durable what was appended, note() and add()
//   what they say. In that order, so that no time and no snapshot is about entries that a crash can
//   take. (A snapshot that a crash left without its mark gets one by the next open().)
// Errors: of append() and sync() those of wal::Wal: ResourceExhausted, and all is as it was. From
//   open() DataLoss: what is there is damaged. After any other error it is to be opened anew.

#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "archive/layout.h"
#include "archive/snapshot_writer.h"
#include "archive/times.h"
#include "base/ids.h"
#include "raft/types.h"
#include "wal/file_system.h"
#include "wal/follower.h"
#include "wal/wal.h"

namespace keelson::archive {

// Whose log is archived.
struct Owner {
  MemberId member;
  ClusterId cluster;
  friend bool operator==(const Owner&, const Owner&) = default;
};

// What raft's configuration is in a state.
absl::StatusOr<raft::ConfState> configuration_of(const backend::Reader& state);

class Stretch {
 public:
  struct Place {
    wal::FileSystem* fs = nullptr;
    std::string archive;
    uint64_t number = 0;
    uint64_t segment_bytes = 64'000'000;
  };

  // A new one, behind `state`, which was the newest at `at`.
  static absl::StatusOr<std::unique_ptr<Stretch>> begin(const Place& place, Owner owner,
                                                        const backend::Snapshot& state,
                                                        const Moment& at);
  // The one that is there. Reads the log behind its newest snapshot. NotFound: it was not whole
  // when a crash came; nothing is in it.
  static absl::StatusOr<std::unique_ptr<Stretch>> open(const Place& place);

  absl::Status append(std::span<const raft::Entry> entries);
  absl::Status sync();
  // REQUIRES: entries up to the moment's are synced.
  absl::Status note(const Moment& moment);
  // The snapshot that was written is one of this stretch's now. REQUIRES: entries up to its index
  // are synced, and its moment was noted.
  absl::Status add(SnapshotWriter& snapshot);
  // The log before `snapshot`, and the times before it, are not needed any more. What cannot be
  // removed stays for now.
  void forget_before(const SnapshotName& snapshot);
  // The orderly end.
  absl::Status close();

  uint64_t number() const { return place_.number; }
  const std::string& path() const { return path_; }
  Owner owner() const { return owner_; }
  // What was appended last.
  const wal::Follower::Behind& last() const { return last_; }
  // The last moment that was noted.
  const std::optional<Moment>& noted() const { return times_->last(); }
  // The newest snapshot, and what was appended since.
  const std::optional<SnapshotName>& newest() const { return newest_; }
  uint64_t bytes_since_newest() const { return bytes_since_newest_; }

 private:
  explicit Stretch(const Place& place)
      : place_(place), path_(stretch_path(place.archive, place.number)) {}

  wal::Options log_options() const;
  absl::Status begin_log(const backend::Snapshot& state, const Moment& at);
  absl::Status open_log();
  absl::Status mark(Index index, Term term, const raft::ConfState& conf);
  absl::Status remove_unfinished();
  void note_entry(const raft::Entry& entry);

  const Place place_;
  const std::string path_;
  Owner owner_;
  std::unique_ptr<wal::Wal> log_;
  std::unique_ptr<TimesWriter> times_;
  // newest_->index <= last_.index
  wal::Follower::Behind last_;
  Index synced_;  // <= last_.index
  std::optional<SnapshotName> newest_;
  uint64_t bytes_since_newest_ = 0;
};

// The same for one that is not written to any more.
void forget_before(wal::FileSystem& fs, const std::string& stretch, const SnapshotName& snapshot);
// All of it, the snapshots first: half a stretch is none.
absl::Status remove_stretch(wal::FileSystem& fs, const std::string& stretch);

}  // namespace keelson::archive
