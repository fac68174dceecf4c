// The FileSystem that RocksDB sees of a FaultFiles.

#include "backend/rocks/fault_files.h"

#include <algorithm>
#include <cstring>

#include "backend/rocks/fault_disk.h"

namespace keelson::backend {
namespace {

using rocksdb::FileOptions;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;
using Disk = FaultFiles::Disk;
using DiskPtr = std::shared_ptr<Disk>;
using Kind = Disk::Kind;
using Lock = std::lock_guard<std::mutex>;

IOStatus read_at(Disk& disk, const std::string& path, const Disk::Inode& inode, uint64_t at,
                 size_t n, Slice* result, char* scratch) {
  Lock lock(disk.mutex);
  if (IOStatus s = disk.fault(Kind::kRead, path); !s.ok()) {
    *result = Slice(scratch, 0);
    return s;
  }
  const size_t size = inode.data.size();
  const size_t got = at >= size ? 0 : std::min<size_t>(n, size - at);
  std::memcpy(scratch, inode.data.data() + std::min<size_t>(at, size), got);
  *result = Slice(scratch, got);
  return IOStatus::OK();
}

class SequentialFile final : public rocksdb::FSSequentialFile {
 public:
  SequentialFile(DiskPtr disk, std::string path, Disk::InodePtr inode)
      : disk_(std::move(disk)), path_(std::move(path)), inode_(std::move(inode)) {}
  IOStatus Read(size_t n, const IOOptions&, Slice* result, char* scratch,
                IODebugContext*) override {
    IOStatus status = read_at(*disk_, path_, *inode_, at_, n, result, scratch);
    at_ += result->size();
    return status;
  }
  IOStatus Skip(uint64_t n) override {
    at_ += n;
    return IOStatus::OK();
  }

 private:
  DiskPtr disk_;
  const std::string path_;
  Disk::InodePtr inode_;
  uint64_t at_ = 0;
};

class RandomFile final : public rocksdb::FSRandomAccessFile {
 public:
  RandomFile(DiskPtr disk, std::string path, Disk::InodePtr inode)
      : disk_(std::move(disk)), path_(std::move(path)), inode_(std::move(inode)) {}
  IOStatus Read(uint64_t at, size_t n, const IOOptions&, Slice* result, char* scratch,
                IODebugContext*) const override {
    return read_at(*disk_, path_, *inode_, at, n, result, scratch);
  }

 private:
  DiskPtr disk_;
  const std::string path_;
  Disk::InodePtr inode_;
};

class WritableFile final : public rocksdb::FSWritableFile {
 public:
  WritableFile(DiskPtr disk, std::string path, Disk::InodePtr inode, bool keep_size)
      : disk_(std::move(disk)),
        path_(std::move(path)),
        inode_(std::move(inode)),
        keep_size_(keep_size) {}
  using rocksdb::FSWritableFile::Append;
  using rocksdb::FSWritableFile::PositionedAppend;

  IOStatus Append(const Slice& data, const IOOptions&, IODebugContext*) override {
    Lock lock(disk_->mutex);
    return disk_->write(*inode_, path_, inode_->data.size(), data);
  }
  IOStatus PositionedAppend(const Slice& data, uint64_t at, const IOOptions&,
                            IODebugContext*) override {
    Lock lock(disk_->mutex);
    return disk_->write(*inode_, path_, at, data);
  }
  // Space that is only taken ahead, behind a file's end, is not counted here.
  IOStatus Allocate(uint64_t at, uint64_t size, const IOOptions&, IODebugContext*) override {
    if (keep_size_) return IOStatus::OK();
    Lock lock(disk_->mutex);
    IOStatus status = disk_->fault(Kind::kWrite, path_);
    if (status.ok()) status = disk_->take_space(*inode_, path_, at + size);
    if (status.ok()) inode_->data.resize(std::max(inode_->data.size(), at + size));
    return status;
  }
  IOStatus Truncate(uint64_t size, const IOOptions&, IODebugContext*) override {
    Lock lock(disk_->mutex);
    inode_->data.resize(size);
    inode_->synced = std::min<size_t>(inode_->synced, size);
    return IOStatus::OK();
  }
  IOStatus Sync(const IOOptions&, IODebugContext*) override {
    Lock lock(disk_->mutex);
    IOStatus status = disk_->fault(Kind::kSync, path_);
    if (status.ok()) inode_->synced = inode_->data.size();
    return status;
  }
  IOStatus Close(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  IOStatus Flush(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  IOStatus RangeSync(uint64_t, uint64_t, const IOOptions&, IODebugContext*) override {
    return IOStatus::OK();  // only a hint
  }
  uint64_t GetFileSize(const IOOptions&, IODebugContext*) override {
    Lock lock(disk_->mutex);
    return inode_->data.size();
  }

 private:
  DiskPtr disk_;
  const std::string path_;
  Disk::InodePtr inode_;
  const bool keep_size_;
};

class SyncedDirectory final : public rocksdb::FSDirectory {
 public:
  SyncedDirectory(DiskPtr disk, std::string path)
      : disk_(std::move(disk)), path_(std::move(path)) {}
  IOStatus Fsync(const IOOptions&, IODebugContext*) override {
    Lock lock(disk_->mutex);
    IOStatus status = disk_->fault(Kind::kSync, path_);
    if (status.ok()) disk_->directories[path_].before.clear();
    return status;
  }

 private:
  DiskPtr disk_;
  const std::string path_;
};

class LockedFile final : public rocksdb::FileLock {
 public:
  explicit LockedFile(std::string path) : path_(std::move(path)) {}
  const std::string path_;
};

class Files final : public rocksdb::FileSystem {
 public:
  explicit Files(DiskPtr disk) : disk_(std::move(disk)) {}
  const char* Name() const override { return "KeelsonFaultFiles"; }

  IOStatus NewSequentialFile(const std::string& name, const FileOptions&,
                             std::unique_ptr<rocksdb::FSSequentialFile>* result,
                             IODebugContext*) override {
    return open<SequentialFile>(name, result);
  }
  IOStatus NewRandomAccessFile(const std::string& name, const FileOptions&,
                               std::unique_ptr<rocksdb::FSRandomAccessFile>* result,
                               IODebugContext*) override {
    return open<RandomFile>(name, result);
  }
  IOStatus NewWritableFile(const std::string& name, const FileOptions& options,
                           std::unique_ptr<rocksdb::FSWritableFile>* result,
                           IODebugContext*) override {
    const std::string path = Disk::clean(name);
    Lock lock(disk_->mutex);
    Disk::InodePtr inode;
    if (IOStatus s = disk_->create(path, &inode); !s.ok()) return s;
    *result = std::make_unique<WritableFile>(disk_, path, std::move(inode),
                                             options.fallocate_with_keep_size);
    return IOStatus::OK();
  }
  IOStatus NewDirectory(const std::string& name, const IOOptions&,
                        std::unique_ptr<rocksdb::FSDirectory>* result, IODebugContext*) override {
    const std::string path = Disk::clean(name);
    Lock lock(disk_->mutex);
    if (!disk_->directories.contains(path)) return IOStatus::PathNotFound(path);
    if (IOStatus s = disk_->fault(Kind::kOpen, path); !s.ok()) return s;
    *result = std::make_unique<SyncedDirectory>(disk_, path);
    return IOStatus::OK();
  }

  IOStatus FileExists(const std::string& name, const IOOptions&, IODebugContext*) override {
    const std::string path = Disk::clean(name);
    Lock lock(disk_->mutex);
    if (disk_->directories.contains(path) || disk_->find(path)) return IOStatus::OK();
    return IOStatus::NotFound(path);
  }
  IOStatus GetChildren(const std::string& name, const IOOptions&, std::vector<std::string>* result,
                       IODebugContext*) override {
    const std::string path = Disk::clean(name);
    Lock lock(disk_->mutex);
    result->clear();
    auto it = disk_->directories.find(path);
    if (it == disk_->directories.end()) return IOStatus::NotFound(path);
    if (IOStatus s = disk_->fault(Kind::kOpen, path); !s.ok()) return s;
    for (const auto& [child, inode] : it->second.now) result->push_back(child);
    return IOStatus::OK();
  }
  IOStatus IsDirectory(const std::string& name, const IOOptions&, bool* is,
                       IODebugContext*) override {
    const std::string path = Disk::clean(name);
    Lock lock(disk_->mutex);
    *is = disk_->directories.contains(path);
    return *is || disk_->find(path) ? IOStatus::OK() : IOStatus::NotFound(path);
  }
  IOStatus GetFileSize(const std::string& name, const IOOptions&, uint64_t* size,
                       IODebugContext*) override {
    const std::string path = Disk::clean(name);
    Lock lock(disk_->mutex);
    Disk::InodePtr inode = disk_->find(path);
    if (inode == nullptr) return IOStatus::PathNotFound(path);
    *size = inode->data.size();
    return IOStatus::OK();
  }
  IOStatus GetFreeSpace(const std::string& name, const IOOptions&, uint64_t* free,
                        IODebugContext*) override {
    const std::string path = Disk::clean(name);
    Lock lock(disk_->mutex);
    if (!disk_->directories.contains(path) && disk_->find(path) == nullptr) {
      return IOStatus::PathNotFound(path);
    }
    *free = disk_->free_space();
    return IOStatus::OK();
  }
  IOStatus GetFileModificationTime(const std::string&, const IOOptions&, uint64_t* time,
                                   IODebugContext*) override {
    *time = 0;
    return IOStatus::OK();
  }

  IOStatus DeleteFile(const std::string& name, const IOOptions&, IODebugContext*) override {
    const std::string path = Disk::clean(name);
    Lock lock(disk_->mutex);
    if (disk_->find(path) == nullptr) return IOStatus::PathNotFound(path);
    ++disk_->operations;
    disk_->change(*disk_->directory_of(path), Disk::name_of(path), nullptr, true);
    return IOStatus::OK();
  }
  IOStatus CreateDir(const std::string& name, const IOOptions&, IODebugContext*) override {
    const std::string path = Disk::clean(name);
    Lock lock(disk_->mutex);
    if (disk_->directories.contains(path)) return IOStatus::IOError(path, std::strerror(EEXIST));
    Disk::Directory* parent = disk_->directory_of(path);
    if (parent == nullptr) return IOStatus::PathNotFound(path);
    if (IOStatus s = disk_->fault(Kind::kName, path); !s.ok()) return s;
    disk_->change(*parent, Disk::name_of(path), nullptr);
    disk_->directories[path];
    return IOStatus::OK();
  }
  IOStatus CreateDirIfMissing(const std::string& name, const IOOptions& options,
                              IODebugContext* debug) override {
    if (FileExists(name, options, debug).ok()) return IOStatus::OK();
    return CreateDir(name, options, debug);
  }
  IOStatus DeleteDir(const std::string& name, const IOOptions&, IODebugContext*) override {
    const std::string path = Disk::clean(name);
    Lock lock(disk_->mutex);
    auto it = disk_->directories.find(path);
    if (it == disk_->directories.end()) return IOStatus::PathNotFound(path);
    if (!it->second.now.empty()) return IOStatus::IOError(path, std::strerror(ENOTEMPTY));
    disk_->change(*disk_->directory_of(path), Disk::name_of(path), nullptr, true);
    disk_->directories.erase(path);
    return IOStatus::OK();
  }
  IOStatus RenameFile(const std::string& from, const std::string& to, const IOOptions&,
                      IODebugContext*) override {
    return move(Disk::clean(from), Disk::clean(to), true);
  }
  IOStatus LinkFile(const std::string& from, const std::string& to, const IOOptions&,
                    IODebugContext*) override {
    return move(Disk::clean(from), Disk::clean(to), false);
  }

  IOStatus LockFile(const std::string& name, const IOOptions&, rocksdb::FileLock** lock_out,
                    IODebugContext*) override {
    const std::string path = Disk::clean(name);
    Lock lock(disk_->mutex);
    if (!disk_->locked.insert(path).second) {
      return IOStatus::IOError("lock " + path, "already held by process");
    }
    *lock_out = new LockedFile(path);
    return IOStatus::OK();
  }
  IOStatus UnlockFile(rocksdb::FileLock* held, const IOOptions&, IODebugContext*) override {
    std::unique_ptr<LockedFile> owned(static_cast<LockedFile*>(held));
    Lock lock(disk_->mutex);
    disk_->locked.erase(owned->path_);
    return IOStatus::OK();
  }
  IOStatus GetTestDirectory(const IOOptions&, std::string* path, IODebugContext*) override {
    *path = "/";
    return IOStatus::OK();
  }
  IOStatus GetAbsolutePath(const std::string& path, const IOOptions&, std::string* out,
                           IODebugContext*) override {
    *out = path;
    return IOStatus::OK();
  }

 private:
  template <typename File, typename Interface>
  IOStatus open(const std::string& name, std::unique_ptr<Interface>* result) {
    const std::string path = Disk::clean(name);
    Lock lock(disk_->mutex);
    Disk::InodePtr inode = disk_->find(path);
    if (inode == nullptr) return IOStatus::PathNotFound(path);
    if (IOStatus s = disk_->fault(Kind::kOpen, path); !s.ok()) return s;
    *result = std::make_unique<File>(disk_, path, std::move(inode));
    return IOStatus::OK();
  }

  IOStatus move(const std::string& from, const std::string& to, bool remove) {
    Lock lock(disk_->mutex);
    if (disk_->directories.contains(from)) return move_directory(from, to);
    Disk::InodePtr inode = disk_->find(from);
    Disk::Directory* target = disk_->directory_of(to);
    if (inode == nullptr || target == nullptr) return IOStatus::PathNotFound(from);
    if (IOStatus s = disk_->fault(Kind::kName, to); !s.ok()) return s;
    disk_->change(*target, Disk::name_of(to), inode);
    if (!remove) return IOStatus::OK();
    Disk::Directory* source = disk_->directory_of(from);
    disk_->change(*source, Disk::name_of(from), nullptr, true);
    // A rename is one step: there is no moment with both names.
    if (source == target) source->before.pop_back();
    return IOStatus::OK();
  }
  // REQUIRES: the lock; both have the same parent. Checkpoints are made under another name first.
  IOStatus move_directory(const std::string& from, const std::string& to) {
    Disk::Directory* parent = disk_->directory_of(to);
    if (parent == nullptr || parent != disk_->directory_of(from)) {
      return IOStatus::NotSupported(from);
    }
    if (IOStatus s = disk_->fault(Kind::kName, to); !s.ok()) return s;
    auto node = disk_->directories.extract(from);
    node.key() = to;
    disk_->directories.insert(std::move(node));
    // Not undone by a power loss: the contents are known by one name only.
    parent->now.erase(Disk::name_of(from));
    parent->now[Disk::name_of(to)] = nullptr;
    parent->before.clear();
    return IOStatus::OK();
  }

  DiskPtr disk_;
};

}  // namespace

std::shared_ptr<rocksdb::FileSystem> FaultFiles::files() const {
  return std::make_shared<Files>(disk_);
}

}  // namespace keelson::backend
