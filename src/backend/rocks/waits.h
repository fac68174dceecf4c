// backend/rocks/waits.h
//
// Waits is how long the threads of the store wait before they try again, or for more work of the
// same kind to gather; RocksDB's own, too. Tests divide them all by the same number (`haste`), so
// that nothing changes but the time.

#pragma once

#include <chrono>
#include <memory>

namespace rocksdb {
class Env;
class FileSystem;
}  // namespace rocksdb

namespace keelson::backend::rocks {

class Waits {
 public:
  // REQUIRES: haste >= 1.
  explicit Waits(int haste = 1) : haste_(haste) {}

  using Time = std::chrono::microseconds;
  // Before an operation is tried again for which there was no space.
  Time for_space() const { return std::chrono::milliseconds(200) / haste_; }
  // Hints come in crowds (a compaction deletes in many small commits), and what failed is not tried
  // again at once.
  Time to_gather() const { return std::chrono::seconds(1) / Time::rep{haste_}; }
  // RocksDB's own merges come first.
  Time for_other_merges() const { return std::chrono::milliseconds(50) / haste_; }
  // Before a block that could not be read is read again.
  Time before_another_read() const { return std::chrono::seconds(1) / Time::rep{haste_}; }

  // RocksDB's environment on `files`. It pauses for a second after each failure in the background,
  // and a close waits for that.
  std::unique_ptr<rocksdb::Env> environment(
      const std::shared_ptr<rocksdb::FileSystem>& files) const;

 private:
  int haste_;
};

}  // namespace keelson::backend::rocks
