#include "tests/crash/failpoints.h"

namespace keelson::crash {

std::span<const Failpoint> failpoints() {
  static constexpr Failpoint kAll[] = {
      {"wal_before_append", 400},
      {"wal_after_append", 400},
      {"wal_before_sync", 400},
      {"wal_after_sync", 400},
      {"wal_cut_begin", 6},
      {"wal_cut_old_synced", 6},
      {"wal_cut_before_rename", 6},
      {"wal_cut_after_rename", 6},
      {"wal_cut_end", 6},
      {"wal_cut_allocate", 6},
      {"wal_before_mark", 3},
      {"wal_after_mark", 3},
      {"log_mark_synced", 3},
      {"mark_without_snap_file", 3},
      {"snap_file_saved", 3},
      {"wal_before_release", 3},
      {"wal_after_release", 3},
      {"consensus_leader_send", 400},
      {"consensus_after_ready", 400},
      {"apply_before_batch", 400},
      {"apply_entry", 400},
      {"apply_after_batch", 400},
      {"mvcc_before_commit", 400},
      {"mvcc_after_commit", 400},
      {"mvcc_compact_scheduled", 3},
      {"mvcc_compact_step", 8},
      {"mvcc_compact_committed", 8},
      {"mvcc_compact_finished", 3},
      {"backend_before_commit", 400},
      {"backend_commit", 400},
      {"backend_after_commit", 400},
      {"backend_flush_begin", 3},
      {"backend_flush_done", 3},
      {"backend_durable_recorded", 3},
      {"backend_merge_begin", 1},
      {"backend_merge_done", 1},
      {"backend_before_flush", 1, true},
      {"backend_flush", 1, true},
      {"backend_after_flush", 1, true},
  };
  return kAll;
}

std::span<const std::string_view> flags_for_failpoints() {
  static constexpr std::string_view kFlags[] = {
      "--keelson-wal-segment-bytes=65536", "--keelson-write-buffer-bytes=262144",
      "--snapshot-count=100", "--snapshot-catchup-entries=100", "--max-wals=1"};
  return kFlags;
}

}  // namespace keelson::crash
