// backend/rocks/durability.h
//
// Durability follows which commits have reached stable storage. Each commit notes (sequence number,
// raft index); when RocksDB reports a flush of the meta family, all commits up to its largest
// sequence number are on disk, in every family, because flushes are atomic over them.
//
// Threads: note_commit() from the writer; the listener's calls from RocksDB's threads.

#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <mutex>

#include "absl/status/status.h"
#include "backend/rocks/high_water.h"
#include "base/ids.h"
#include "rocksdb/listener.h"

namespace keelson::backend::rocks {

class Durability final : public rocksdb::EventListener {
 public:
  Durability(std::string meta_family, std::shared_ptr<rocksdb::FileSystem> files,
             const std::string& directory)
      : meta_family_(std::move(meta_family)), high_water_(std::move(files), directory) {}

  // kDataLoss when the database opened at `index` is older than what was reported durable before.
  absl::Status check_not_older(Index index) const;

  // The file that says so is there from now on.
  absl::Status note_log();

  void start_at(Index durable) { durable_.store(durable.value); }
  void set_listener(std::function<void(Index)> listener);
  void set_health_listener(std::function<void(const absl::Status&)> listener);
  // The batch whose last change has `sequence` carried `index`. In order.
  void note_commit(uint64_t sequence, Index index);
  // All commits up to `sequence` are on stable storage. Reported when it returns Ok; else the next
  // call reports them, too. Any thread.
  absl::Status advance(uint64_t sequence);
  Index durable_index() const { return Index(durable_.load(std::memory_order_acquire)); }
  absl::Status health() const;
  // A flush that was tried again succeeded: the disk is well, unless space is short.
  void clear_full_disk();
  // A block is not as it was written.
  void report_damage(absl::Status damage);
  // Writes wait for space, or go on.
  void waiting(bool full);
  // The disk is full but for the reserve, or is not any more.
  void space_short(bool is_short);
  // Whether a flush that is asked for now would go through: nothing is wrong, or the reserve is
  // there for it.
  bool may_flush() const;
  // While it is not, a flush that failed for lack of space stays failed, and who waits for it hears
  // so.
  void be_patient(bool patient) { patient_ = patient; }
  // Told the name of each file that a merge is about to write. Set before the database is opened.
  void set_merge_output_listener(std::function<void(const std::string&)> listener) {
    merge_output_ = std::move(listener);
  }
  // Called when a flush failed for lack of space and should be tried again.
  void set_retry(std::function<void()> retry) { retry_ = std::move(retry); }

  void OnFlushBegin(rocksdb::DB*, const rocksdb::FlushJobInfo& info) override;
  void OnCompactionBegin(rocksdb::DB*, const rocksdb::CompactionJobInfo& info) override;
  void OnCompactionCompleted(rocksdb::DB*, const rocksdb::CompactionJobInfo& info) override;
  void OnFlushCompleted(rocksdb::DB*, const rocksdb::FlushJobInfo& info) override;
  void OnBackgroundError(rocksdb::BackgroundErrorReason reason, rocksdb::Status* error) override;
  void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason, rocksdb::Status,
                            bool* auto_recovery) override;
  void OnTableFileCreationStarted(const rocksdb::TableFileCreationBriefInfo& info) override;
  void OnErrorRecoveryCompleted(rocksdb::Status) override;

 private:
  struct Commit {
    uint64_t sequence;
    Index index;
  };
  void thin_out_locked();
  void clear_full_disk_locked();
  void set_health(absl::Status health);
  // REQUIRES: telling_ is held, so that the listener hears of changes in their order and ends with
  // what health() says.
  void tell_health(absl::Status health);
  // Forgets the commits up to `sequence`; the index of the last of them.
  Index take_flushed(uint64_t sequence);

  const std::string meta_family_;
  HighWater high_water_;  // RocksDB reports the flushes of one family one at a time
  std::atomic<uint64_t> durable_{0};
  std::atomic<bool> patient_{true};
  std::function<void()> retry_;
  std::function<void(const std::string&)> merge_output_;
  std::mutex advancing_;
  Index flushed_;  // >= durable_; on stable storage, but perhaps not recorded; under advancing_
  std::mutex telling_;                               // before mutex_
  std::atomic<bool> waiting_{false}, short_{false};  // written under telling_
  mutable std::mutex mutex_;
  std::deque<Commit> pending_;
  std::function<void(Index)> listener_;
  std::function<void(const absl::Status&)> health_listener_;
  absl::Status health_;
};

}  // namespace keelson::backend::rocks
