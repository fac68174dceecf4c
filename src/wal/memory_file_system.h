// wal/memory_file_system.h
//
// A disk in memory that behaves as badly as real ones may: what was not synced is lost, sector by
// sector, in any combination; the n-th operation fails; space runs out. For tests and simulation.
//
// The model: a sector (512 bytes) is written whole or not at all. Each sector of a file holds,
// after a crash, any of the versions it had since the file was last synced; so does the file's
// length. Names (create, rename, remove) survive in order, up to some point not before the last
// change that a sync of its directory covered; syncing a file does nothing for its name. Locks are
// dropped by a crash, open files are dead.
//
// Threads: one caller at a time.

#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "wal/file_system.h"

namespace keelson::wal {

class MemoryFileSystem final : public FileSystem {
 public:
  MemoryFileSystem();
  ~MemoryFileSystem() override;

  absl::StatusOr<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override;
  absl::Status rename(const std::string& from, const std::string& to) override;
  absl::Status unlink(const std::string& path) override;
  absl::StatusOr<std::vector<std::string>> list(const std::string& dir) override;
  absl::Status create_dirs(const std::string& dir) override;
  absl::Status remove_dir(const std::string& dir) override;
  absl::Status sync_dir(const std::string& dir) override;

  // The process dies: locks are dropped, open files are dead; what was written stays, synced or
  // not.
  void kill();
  // The power fails now and comes back: what survives is drawn from `random`.
  void crash(Random& random);
  // As if everything written so far had been synced.
  void sync_all();

  // --- Faults. Operations are what changes the disk: writes, syncs, names, lengths.

  // How many there were so far.
  uint64_t operations() const { return operations_; }
  // Every operation after the next `n` fails with EIO, a write having written part of its bytes.
  void fail_after(uint64_t n) { fail_from_ = operations_ + n; }
  // Only the operation after the next `n` fails.
  void fail_once_after(uint64_t n) { fail_only_ = operations_ + n; }
  void no_more_failures();
  // Opening or listing what is at `path` fails with this errno; 0: no more.
  void fail_access(const std::string& path, int error) { denied_[path] = error; }
  // Bytes that files may take in all; what is over gets ENOSPC.
  void set_capacity(uint64_t bytes) { capacity_ = bytes; }
  // As file systems without fallocate: space is only taken by writing.
  void set_can_reserve(bool can) { can_reserve_ = can; }
  uint64_t used() const;

  // --- Looking at files, and damaging them. The path must be there.

  std::string contents(const std::string& path) const;
  void set_contents(const std::string& path, std::string contents);
  std::vector<std::string> paths() const;

 private:
  struct Inode;
  class OpenFile;
  using Names = std::map<std::string, std::shared_ptr<Inode>>;  // null: a directory
  // The names after a change, and whose syncs make it durable.
  struct Change {
    Names names;
    std::vector<std::string> dirs;
  };

  absl::Status begin_operation(const std::string& path);
  absl::Status take_space(const Inode& inode, uint64_t new_written, uint64_t new_taken);
  absl::Status access(const std::string& path) const;
  void change_names(Names after, std::vector<std::string> dirs);

  // Names now, and each state they had from the last durable one on, oldest first.
  // names_ == history_.back().names.
  Names names_;
  std::vector<Change> history_;
  std::map<std::string, int> denied_;

  uint64_t operations_ = 0;
  uint64_t fail_from_ = UINT64_MAX;
  uint64_t fail_only_ = UINT64_MAX;
  uint64_t capacity_ = UINT64_MAX;
  bool can_reserve_ = true;
  uint64_t boots_ = 0;  // crashes so far; files opened before the last one are dead
};

}  // namespace keelson::wal
