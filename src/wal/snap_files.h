// wal/snap_files.h
//
// SnapFiles are etcd's snapshot files, member/snap/<term>-<index>.snap: for a mark of the log, who
// the members were there. A member of ours starts from its store and never reads them; etcd, its
// tools and its tests look for one behind every mark but the first.
//
// Order: a file is durable when save() returns. That of a received snapshot, and of a restore, is
// there before the mark, as in etcd; those of the member's own marks come behind them
// (node/snap_saver.h), since the log waits for no other file. A crash between leaves a file without
// a mark, or the other way round, and either is harmless.
// Threads: any, several at a time; a call waits for the disk. Nothing here locks.
// Errors: those of the disk. A file that could not be written leaves nothing behind.
// Source: etcd v3.7.1, server/etcdserver/api/snap/snapshotter.go, client/pkg/fileutil/purge.go.

#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "base/clock.h"
#include "raft/types.h"
#include "wal/file_system.h"

namespace keelson::wal {

// "<term>-<index>.snap", 16 digits of hexadecimal each.
std::string snap_file_name(Term term, Index index);
bool is_snap_file_name(std::string_view name);

class SnapFiles {
 public:
  struct Options {
    std::string dir;    // member/snap; made when it is needed
    uint64_t keep = 5;  // --max-snapshots; 0: all
    // Told of each file that was saved: the time of its sync, and of all of it. May be empty.
    std::function<void(Duration sync, Duration all)> saved = nullptr;
  };
  // How often the oldest are removed, as in etcd: between, there may be more than `keep`.
  static constexpr Duration kPurgeInterval = std::chrono::seconds(30);

  // `clock` and `files` outlive this.
  SnapFiles(Options options, const Clock* clock, FileSystem* files = posix_file_system());

  absl::Status save(const raft::Snapshot& snapshot);
  // A member does not depend on them: one that cannot be written is told in the log, once until one
  // can be again.
  void save_if_possible(const raft::Snapshot& snapshot);
  // Removes the oldest beyond `keep`. Done by a save as well, in its time.
  void purge();

 private:
  absl::Status write(const std::string& name, std::string_view bytes, Duration* sync);

  const Options options_;
  const Clock& clock_;
  FileSystem& files_;
  std::atomic<MonotonicTime> purge_at_{MonotonicTime()};
  std::atomic<bool> failing_{false};
};

}  // namespace keelson::wal
