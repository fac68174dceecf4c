// backend/rocks/patient_files.h
//
// PatientFiles is the file system under RocksDB. A write that meets a full disk waits there until
// there is space, and then goes on where it was; RocksDB never hears of it.
//
// Why: RocksDB takes a failed write for the end of the file, and what follows depends on what was
//   written (a manifest stops all writes); a build with assertions, as Debian's, aborts. Nothing is
//   lost by waiting: the changes are in the raft log and in the write buffers, reads go on.
// Threads: any. `tell` is called from the waiting thread when waiting begins and when it ends.

#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "rocksdb/env.h"
#include "rocksdb/file_system.h"

namespace keelson::backend::rocks {

class PatientFiles final : public rocksdb::FileSystemWrapper {
 public:
  explicit PatientFiles(std::function<void(bool full)> tell);

  static const char* kClassName() { return "KeelsonPatientFiles"; }
  const char* Name() const override { return kClassName(); }

  // Before this, and after stop(), a full disk is an error: an open must not hang.
  void be_patient() { patient_ = true; }
  void stop() { patient_ = false; }

  rocksdb::IOStatus NewWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* result,
                                    rocksdb::IODebugContext* debug) override;

  // Does `write` until it is not for lack of space that it fails.
  rocksdb::IOStatus patiently(const std::function<rocksdb::IOStatus()>& write);

 private:
  const std::function<void(bool full)> tell_;
  std::atomic<bool> patient_{false};
  std::atomic<int> waiting_{0};
};

}  // namespace keelson::backend::rocks
