// backend/rocks/fault_disk.h
//
// The state of a FaultFiles: directories, files, what of them is durable, and which faults are on.
// Threads: every method locks; files and directories are touched under the lock only.

#pragma once

#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "backend/rocks/fault_files.h"
#include "base/random.h"
#include "rocksdb/file_system.h"

namespace keelson::backend {

struct FaultFiles::Disk {
  struct Inode {
    std::string data;
    size_t synced = 0;  // <= data.size(): this much survives
  };
  using InodePtr = std::shared_ptr<Inode>;
  using Names = std::map<std::string, InodePtr>;  // null: a directory
  struct Directory {
    Names now;
    std::vector<Names> before;  // since the last sync, oldest first; without `now`
  };
  enum class Kind : uint8_t { kOpen, kRead, kCreate, kWrite, kSync, kName };

  explicit Disk(uint64_t seed) : random(seed) { directories["/"]; }

  // What stands in the way of an operation, if anything does. All REQUIRE the lock.
  rocksdb::IOStatus fault(Kind kind, const std::string& path);
  InodePtr find(const std::string& path);
  Directory* directory_of(const std::string& path);  // null: no such directory
  void change(Directory& directory, const std::string& name, InodePtr inode, bool remove = false);
  rocksdb::IOStatus create(const std::string& path, InodePtr* inode);
  rocksdb::IOStatus write(Inode& inode, const std::string& path, uint64_t at,
                          const rocksdb::Slice& data);

  static std::string name_of(const std::string& path) {
    return path.substr(path.find_last_of('/') + 1);
  }
  static std::string parent_of(const std::string& path) {
    const size_t slash = path.find_last_of('/');
    return slash == 0 ? "/" : path.substr(0, slash);
  }
  // Without a slash at its end.
  static std::string clean(std::string path);

  std::shared_ptr<Disk> after(bool power_loss);

  mutable std::mutex mutex;
  SeededRandom random;
  std::map<std::string, Directory> directories;
  std::set<std::string> locked;
  Weather weather = Weather::kCalm;
  uint64_t operations = 0;
  uint64_t refused = 0;
  uint64_t fail_at = UINT64_MAX;
  uint64_t reads = 0;
  uint64_t fail_read_at = UINT64_MAX;
  uint64_t capacity = UINT64_MAX;

  // Whether `inode` may have `size` bytes. REQUIRES the lock.
  rocksdb::IOStatus take_space(const Inode& inode, const std::string& path, uint64_t size);
  // What all files take together. REQUIRES the lock.
  uint64_t used() const;
  // What the disk says that it has left; of a quota it knows nothing. REQUIRES the lock.
  uint64_t free_space() const;

 private:
  void copy_tree(Disk& to, const std::string& path, bool power_loss,
                 std::map<InodePtr, InodePtr>& copies);
};

}  // namespace keelson::backend
