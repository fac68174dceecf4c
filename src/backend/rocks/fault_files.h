// backend/rocks/fault_files.h
//
// FaultFiles is a disk in memory under RocksDB that behaves as badly as real ones may: it is full,
// out of handles, fails now and then, and loses power. For tests and simulation.
//
// The model: what a file had when it was last synced stays; of what was appended since, a prefix
//   survives a power loss, in which sectors (512 bytes) may be zeros. The names in a directory
//   (created, renamed, linked, removed) survive up to some point not before that directory was last
//   synced, each directory for itself; what lies in a directory whose own name is lost is lost.
// Use: RocksOptions::files = disk.files(). A power loss makes a new disk out of this one and leaves
//   this one alone: whoever has it open goes on, and nothing it does matters any more.
// Threads: any. RocksDB's threads draw in the order they come, so a seed narrows down what happens,
//   it does not fix it.

#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace rocksdb {
class FileSystem;
}

namespace keelson::backend {

enum class Weather : uint8_t {
  kCalm,
  kFull,       // ENOSPC for whatever needs space, after part of it was written
  kOverQuota,  // the same as EDQUOT
  kNoHandles,  // EMFILE for every open
};

class FaultFiles {
 public:
  struct Disk;  // backend/rocks/fault_disk.h

  explicit FaultFiles(uint64_t seed);
  explicit FaultFiles(std::shared_ptr<Disk> disk) : disk_(std::move(disk)) {}

  std::shared_ptr<rocksdb::FileSystem> files() const;

  // A new disk with what a loss of power now, or a mere death of the process, leaves; in calm.
  FaultFiles after_power_loss() const;
  FaultFiles after_kill() const;

  void set_weather(Weather weather);
  // Bytes that all files may take together; what is over gets ENOSPC.
  void set_capacity(uint64_t bytes);
  // The operation after the next `n` fails with EIO, a write having written part of its bytes.
  // Operations are what changes the disk: creations, writes, syncs, names.
  void fail_once_after(uint64_t n);
  uint64_t operations() const;
  // The read after the next `n` fails with EIO.
  void fail_read_once_after(uint64_t n);
  // No more failures that were asked for.
  void forget_failures();
  // How many times an operation was refused so far, for whatever reason.
  uint64_t refused() const;
  // Bytes of all files whose names end in `suffix`.
  uint64_t bytes(const std::string& suffix) const;

 private:
  std::shared_ptr<Disk> disk_;
};

}  // namespace keelson::backend
