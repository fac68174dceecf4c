// backend/rocks/patient_files.h
//
// PatientFiles is the file system under RocksDB. A write that meets a full disk (or a quota, or the
// limit of open files) waits there until there is room, and then goes on where it was; RocksDB
// never hears of it.
//
// Why: RocksDB takes a failed write for the end of the file, and what follows depends on what was
//   written (a manifest stops all writes). Nothing is lost by waiting: the changes are in the raft
//   log and in the write buffers, reads go on.
// Merges do not wait for space: what they have written so far is part of what is missing. They are
//   given up, their output is removed, and RocksDB starts them again later. So they are where
//   somebody else waits: a flush comes first.
// Threads: any. `tell` is called from the waiting thread when waiting begins and when it ends.

#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "backend/rocks/waits.h"
#include "rocksdb/env.h"
#include "rocksdb/file_system.h"

namespace keelson::backend::rocks {

// "No space" in all its forms, as RocksDB's own: EDQUOT is an I/O error like any other to it.
rocksdb::IOStatus name_no_space(rocksdb::IOStatus status);
// The process or the machine has too many files open (EMFILE, ENFILE).
bool is_out_of_handles(const rocksdb::IOStatus& status);

class PatientFiles final : public rocksdb::FileSystemWrapper {
 public:
  // `make_room`: asked when space is lacking, again and again; true: there may be some now.
  // `merge_leaves_room`: whether a merge may write so many bytes more.
  PatientFiles(std::shared_ptr<rocksdb::FileSystem> files, std::function<void(bool full)> tell,
               std::function<bool()> make_room,
               std::function<bool(uint64_t bytes)> merge_leaves_room, const Waits& waits = Waits());

  static const char* kClassName() { return "KeelsonPatientFiles"; }
  const char* Name() const override { return kClassName(); }

  // Before this, and after stop(), a full disk is an error: an open must not hang.
  void be_patient();
  // Whoever waits gets the error at once.
  void stop();
  // The file that is created next under this name is a merge's.
  void expect_merge_output(const std::string& name);

  rocksdb::IOStatus NewWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* result,
                                    rocksdb::IODebugContext* debug) override;
  // A manifest shows no more than torn_manifest.h takes for whole.
  rocksdb::IOStatus NewSequentialFile(const std::string& name, const rocksdb::FileOptions& options,
                                      std::unique_ptr<rocksdb::FSSequentialFile>* result,
                                      rocksdb::IODebugContext* debug) override;
  // A read that comes short of what the file had when it was written, or opened, is kCorruption.
  rocksdb::IOStatus NewRandomAccessFile(const std::string& name,
                                        const rocksdb::FileOptions& options,
                                        std::unique_ptr<rocksdb::FSRandomAccessFile>* result,
                                        rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus RenameFile(const std::string& from, const std::string& to,
                               const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* debug) override;

  // The manifest that CURRENT names stays: RocksDB before 9.5 removes it when a new one could not
  // be written twice in a row, and the store with it (docs/rocksdb.md).
  rocksdb::IOStatus DeleteFile(const std::string& name, const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* debug) override;

  // A manifest could not be synced, or not be made the current one: what it names may be on the
  // disk all the same. No table is removed any more; the next open removes those that no manifest
  // names.
  void doubt_manifest() { manifest_in_doubt_ = true; }

  // A table of `size` bytes was written under this name.
  void note_table(const std::string& name, uint64_t size);

  // A merge may write so many bytes more: nobody waits for space, and it leaves enough.
  bool merge_may_write(uint64_t bytes);

  // Does `attempt` until it fails for nothing that passes by itself. `for_space`: a lack of space
  // is waited for, too.
  rocksdb::IOStatus patiently(const std::function<rocksdb::IOStatus()>& attempt,
                              bool for_space = true);

 private:
  const std::function<void(bool full)> tell_;
  const std::function<bool()> make_room_;
  const std::function<bool(uint64_t bytes)> merge_leaves_room_;
  const Waits waits_;
  std::mutex mutex_;
  std::condition_variable stopped_;
  std::atomic<bool> manifest_in_doubt_{false};
  bool patient_ = false;
  int waiting_ = 0;                         // for space or handles
  int for_space_ = 0;                       // of them who began to wait for space; <= waiting_
  std::set<std::string> merge_outputs_;     // expected, not created yet
  std::map<std::string, uint64_t> tables_;  // written since the open, and not removed: their sizes
};

}  // namespace keelson::backend::rocks
