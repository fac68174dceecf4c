#include "backend/rocks/fault_disk.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace keelson::backend {
namespace {

using rocksdb::IOStatus;
using Disk = FaultFiles::Disk;

constexpr size_t kSector = 512;

IOStatus no_space(const std::string& path) {
  IOStatus status = IOStatus::NoSpace(path, std::strerror(ENOSPC));
  status.SetRetryable(true);
  return status;
}

// What a power loss leaves of a file.
Disk::InodePtr torn(const Disk::Inode& inode, Random& random) {
  auto left = std::make_shared<Disk::Inode>();
  const size_t unsynced = inode.data.size() - inode.synced;
  size_t size = inode.synced;
  if (unsynced > 0 && random.below(3) > 0) size += random.below(unsynced + 1);
  left->data = inode.data.substr(0, size);
  left->synced = size;
  const bool holes = random.below(2) == 0;
  for (size_t at = inode.synced; holes && at < size;) {
    const size_t end = std::min(size, (at / kSector + 1) * kSector);
    if (random.below(4) == 0) std::fill_n(left->data.begin() + static_cast<long>(at), end - at, 0);
    at = end;
  }
  return left;
}

}  // namespace

std::string Disk::clean(std::string path) {
  std::string out;
  for (char c : path) {
    if (c != '/' || out.empty() || out.back() != '/') out += c;
  }
  if (out.size() > 1 && out.back() == '/') out.pop_back();
  return out;
}

IOStatus Disk::fault(Kind kind, const std::string& path) {
  auto error = [&](int number) {
    ++refused;
    if (number != ENOSPC) return IOStatus::IOError(path, std::strerror(number));
    return no_space(path);
  };
  if (kind == Kind::kRead) {
    if (reads++ < fail_read_at) return IOStatus::OK();
    fail_read_at = UINT64_MAX;
    return error(EIO);
  }
  if (kind != Kind::kOpen && operations++ >= fail_at) {
    fail_at = UINT64_MAX;
    return error(EIO);
  }
  const bool opens = kind == Kind::kOpen || kind == Kind::kCreate;
  const bool takes_space = kind == Kind::kCreate || kind == Kind::kWrite || kind == Kind::kName;
  if (weather == Weather::kNoHandles && opens) return error(EMFILE);
  if (weather == Weather::kFull && takes_space) return error(ENOSPC);
  if (weather == Weather::kOverQuota && takes_space) return error(EDQUOT);
  return IOStatus::OK();
}

Disk::Directory* Disk::directory_of(const std::string& path) {
  auto it = directories.find(parent_of(path));
  return it == directories.end() ? nullptr : &it->second;
}

Disk::InodePtr Disk::find(const std::string& path) {
  Directory* directory = directory_of(path);
  if (directory == nullptr) return nullptr;
  auto it = directory->now.find(name_of(path));
  return it == directory->now.end() ? nullptr : it->second;
}

void Disk::change(Directory& directory, const std::string& name, InodePtr inode, bool remove) {
  directory.before.push_back(directory.now);
  if (remove) {
    directory.now.erase(name);
  } else {
    directory.now[name] = std::move(inode);
  }
}

IOStatus Disk::create(const std::string& path, InodePtr* inode) {
  Directory* directory = directory_of(path);
  if (directory == nullptr) return IOStatus::PathNotFound(path);
  if (IOStatus s = fault(Kind::kCreate, path); !s.ok()) return s;
  *inode = std::make_shared<Inode>();
  change(*directory, name_of(path), *inode);
  return IOStatus::OK();
}

IOStatus Disk::write(Inode& inode, const std::string& path, uint64_t at,
                     const rocksdb::Slice& data) {
  IOStatus status = fault(Kind::kWrite, path);
  if (status.ok()) status = take_space(inode, path, at + data.size());
  const size_t size = status.ok() ? data.size() : random.below(data.size() + 1);
  inode.synced = std::min<size_t>(inode.synced, at);
  if (inode.data.size() < at + size) inode.data.resize(at + size);
  inode.data.replace(at, size, data.data(), size);
  return status;
}

IOStatus Disk::take_space(const Inode& inode, const std::string& path, uint64_t size) {
  if (capacity == UINT64_MAX || size <= inode.data.size()) return IOStatus::OK();
  if (used() + size - inode.data.size() <= capacity) return IOStatus::OK();
  ++refused;
  return no_space(path);
}

uint64_t Disk::used() const {
  std::set<const Inode*> counted;
  uint64_t total = 0;
  for (const auto& [name, directory] : directories) {
    for (const auto& [file, inode] : directory.now) {
      if (inode && counted.insert(inode.get()).second) total += inode->data.size();
    }
  }
  return total;
}

uint64_t Disk::free_space() const {
  if (weather == Weather::kFull) return 0;
  if (capacity == UINT64_MAX) return UINT64_MAX;
  return capacity - std::min(capacity, used());
}

void Disk::copy_tree(Disk& to, const std::string& path, bool power_loss,
                     std::map<InodePtr, InodePtr>& copies) {
  const Directory& from = directories[path];
  const size_t states = from.before.size() + 1;
  const size_t chosen = power_loss ? random.below(states) : states - 1;
  const Names& names = chosen == states - 1 ? from.now : from.before[chosen];
  Names& left = to.directories[path].now;
  for (const auto& [name, inode] : names) {
    if (inode == nullptr) {
      left[name] = nullptr;
      copy_tree(to, path == "/" ? path + name : path + "/" + name, power_loss, copies);
      continue;
    }
    InodePtr& copy = copies[inode];
    if (copy == nullptr) {
      copy = power_loss ? torn(*inode, random) : std::make_shared<Inode>(*inode);
    }
    left[name] = copy;
  }
  // A killed process leaves what is not durable as it was.
  if (!power_loss) to.directories[path].before = from.before;
}

std::shared_ptr<Disk> Disk::after(bool power_loss) {
  std::lock_guard lock(mutex);
  auto left = std::make_shared<Disk>(random.next());
  std::map<InodePtr, InodePtr> copies;
  left->capacity = capacity;
  copy_tree(*left, "/", power_loss, copies);
  // Older states of a directory name files by the inodes of this disk.
  for (auto& [path, directory] : left->directories) {
    for (Names& names : directory.before) {
      for (auto& [name, inode] : names) {
        if (inode == nullptr) continue;
        InodePtr& copy = copies[inode];
        if (copy == nullptr) copy = std::make_shared<Inode>(*inode);
        inode = copy;
      }
    }
  }
  return left;
}

FaultFiles::FaultFiles(uint64_t seed) : disk_(std::make_shared<Disk>(seed)) {}

FaultFiles FaultFiles::after_power_loss() const { return FaultFiles(disk_->after(true)); }
FaultFiles FaultFiles::after_kill() const { return FaultFiles(disk_->after(false)); }

void FaultFiles::set_weather(Weather weather) {
  std::lock_guard lock(disk_->mutex);
  disk_->weather = weather;
}

void FaultFiles::set_capacity(uint64_t bytes) {
  std::lock_guard lock(disk_->mutex);
  disk_->capacity = bytes;
}

void FaultFiles::fail_once_after(uint64_t n) {
  std::lock_guard lock(disk_->mutex);
  disk_->fail_at = disk_->operations + n;
}

void FaultFiles::fail_read_once_after(uint64_t n) {
  std::lock_guard lock(disk_->mutex);
  disk_->fail_read_at = disk_->reads + n;
}

void FaultFiles::forget_failures() {
  std::lock_guard lock(disk_->mutex);
  disk_->fail_at = UINT64_MAX;
  disk_->fail_read_at = UINT64_MAX;
}

uint64_t FaultFiles::operations() const {
  std::lock_guard lock(disk_->mutex);
  return disk_->operations;
}

uint64_t FaultFiles::refused() const {
  std::lock_guard lock(disk_->mutex);
  return disk_->refused;
}

uint64_t FaultFiles::bytes(const std::string& suffix) const {
  std::lock_guard lock(disk_->mutex);
  uint64_t total = 0;
  for (const auto& [path, directory] : disk_->directories) {
    for (const auto& [name, inode] : directory.now) {
      if (inode != nullptr && name.ends_with(suffix)) total += inode->data.size();
    }
  }
  return total;
}

}  // namespace keelson::backend
