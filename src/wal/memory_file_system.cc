#include "wal/memory_file_system.h"

#include <algorithm>
#include <cerrno>
#include <set>

#include "base/check.h"
#include "base/text.h"
#include "wal/framing.h"

namespace keelson::wal {

namespace {

absl::Status failed(int error, const std::string& path) { return status_of_errno(error, path); }

std::string parent_of(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

// A file. Each change since the last sync is kept as a whole version of the content: tests' files
// are small.
struct MemoryFileSystem::Inode {
  std::string content;                // now
  std::vector<std::string> unsynced;  // every version since the last sync, oldest (synced) first
  uint64_t reserved = 0;              // space taken, at least; see taken()
  uint64_t backed = 0;                // the end of what was ever written
  const void* lock = nullptr;

  uint64_t taken() const { return std::max<uint64_t>(reserved, content.size()); }
  void before_change() { unsynced.push_back(content); }
  void sync() { unsynced.clear(); }
  void crash(Random& random);
};

void MemoryFileSystem::Inode::crash(Random& random) {
  lock = nullptr;
  if (unsynced.empty()) return;
  std::vector<std::string> versions = std::move(unsynced);
  unsynced.clear();
  versions.push_back(std::move(content));
  auto any = [&]() -> const std::string& { return versions[random.below(versions.size())]; };

  // Often one moment, as when everything was on its way in order; else every sector for itself.
  if (random.below(3) == 0) {
    content = any();
    return;
  }
  content.assign(any().size(), '\0');
  for (size_t at = 0; at < content.size(); at += kSectorSize) {
    const std::string& version = any();
    if (at >= version.size()) continue;
    const size_t length = std::min({size_t{kSectorSize}, version.size() - at, content.size() - at});
    content.replace(at, length, version, at, length);
  }
}

class MemoryFileSystem::OpenFile final : public File {
 public:
  OpenFile(MemoryFileSystem* fs, std::string path, std::shared_ptr<Inode> inode)
      : fs_(fs), path_(std::move(path)), inode_(std::move(inode)), boot_(fs->boots_) {}
  ~OpenFile() override {
    if (inode_->lock == this) inode_->lock = nullptr;
  }

  absl::StatusOr<size_t> pread(uint64_t offset, char* out, size_t size) override {
    const std::string& content = inode_->content;
    if (offset >= content.size()) return size_t{0};
    return content.copy(out, size, offset);
  }

  absl::Status pwrite(uint64_t offset, std::string_view bytes) override {
    absl::Status status = begin();
    if (!status.ok()) {
      // Some of it may have got through all the same, in whole sectors.
      const uint64_t middle = (offset + bytes.size() / 2) / kSectorSize * kSectorSize;
      if (alive() && middle > offset) put(offset, bytes.substr(0, middle - offset));
      return status;
    }
    const uint64_t end = std::max<uint64_t>(offset + bytes.size(), inode_->content.size());
    status = fs_->take_space(*inode_, offset + bytes.size(), end);
    if (!status.ok()) return status;
    put(offset, bytes);
    return absl::OkStatus();
  }

  absl::Status fdatasync() override {
    absl::Status status = begin();
    if (status.ok()) inode_->sync();
    return status;
  }
  absl::Status fsync() override { return fdatasync(); }

  absl::Status allocate(uint64_t size) override {
    if (absl::Status status = begin(); !status.ok()) return status;
    const uint64_t wanted = std::max<uint64_t>(size, inode_->content.size());
    if (fs_->can_reserve_) {
      if (absl::Status status = fs_->take_space(*inode_, wanted, wanted); !status.ok()) {
        return status;
      }
      inode_->reserved = std::max(inode_->reserved, wanted);
    }
    resize(wanted);
    return absl::OkStatus();
  }

  absl::Status truncate(uint64_t size) override {
    if (absl::Status status = begin(); !status.ok()) return status;
    inode_->reserved = std::min(inode_->reserved, size);
    inode_->backed = std::min(inode_->backed, size);
    resize(size);
    return absl::OkStatus();
  }

  absl::StatusOr<uint64_t> size() override { return uint64_t{inode_->content.size()}; }

  absl::Status try_lock() override {
    if (inode_->lock && inode_->lock != this) {
      return absl::UnavailableError(to_absl(cat("locked by another process: ", path_)));
    }
    inode_->lock = this;
    return absl::OkStatus();
  }

 private:
  bool alive() const { return boot_ == fs_->boots_; }
  absl::Status begin() { return alive() ? fs_->begin_operation(path_) : failed(EIO, path_); }

  void put(uint64_t offset, std::string_view bytes) {
    inode_->before_change();
    std::string& content = inode_->content;
    if (content.size() < offset + bytes.size()) content.resize(offset + bytes.size());
    content.replace(offset, bytes.size(), bytes);
    inode_->backed = std::max<uint64_t>(inode_->backed, offset + bytes.size());
  }
  void resize(uint64_t size) {
    if (size == inode_->content.size()) return;
    inode_->before_change();
    inode_->content.resize(size);
  }

  MemoryFileSystem* const fs_;
  const std::string path_;
  const std::shared_ptr<Inode> inode_;
  const uint64_t boot_;
};

MemoryFileSystem::MemoryFileSystem() : history_(1) {}
MemoryFileSystem::~MemoryFileSystem() = default;

absl::Status MemoryFileSystem::begin_operation(const std::string& path) {
  const uint64_t number = operations_++;
  if (number >= fail_from_ || number == fail_only_) return failed(EIO, path);
  return absl::OkStatus();
}

void MemoryFileSystem::no_more_failures() {
  fail_from_ = UINT64_MAX;
  fail_only_ = UINT64_MAX;
}

uint64_t MemoryFileSystem::used() const {
  uint64_t sum = 0;
  for (const auto& [path, inode] : names_) {
    if (inode) sum += can_reserve_ ? inode->taken() : inode->backed;
  }
  return sum;
}

absl::Status MemoryFileSystem::take_space(const Inode& inode, uint64_t new_written,
                                          uint64_t new_taken) {
  if (capacity_ == UINT64_MAX) return absl::OkStatus();
  const uint64_t has = can_reserve_ ? inode.taken() : inode.backed;
  const uint64_t wants = can_reserve_ ? std::max(new_taken, has) : new_written;
  if (wants <= has || used() - has + wants <= capacity_) return absl::OkStatus();
  return failed(ENOSPC, "disk in memory");
}

absl::Status MemoryFileSystem::access(const std::string& path) const {
  auto denied = denied_.find(path);
  if (denied == denied_.end() || denied->second == 0) return absl::OkStatus();
  return failed(denied->second, path);
}

void MemoryFileSystem::change_names(Names after, std::vector<std::string> dirs) {
  names_ = std::move(after);
  history_.push_back({names_, std::move(dirs)});
}

absl::StatusOr<std::unique_ptr<File>> MemoryFileSystem::open(const std::string& path,
                                                             OpenMode mode) {
  if (absl::Status status = access(path); !status.ok()) return status;
  auto found = names_.find(path);
  std::shared_ptr<Inode> inode;
  if (found == names_.end()) {
    if (mode == OpenMode::kRead || mode == OpenMode::kReadWrite) return failed(ENOENT, path);
    if (absl::Status status = begin_operation(path); !status.ok()) return status;
    inode = std::make_shared<Inode>();
    Names after = names_;
    after[path] = inode;
    change_names(std::move(after), {parent_of(path)});
  } else {
    if (!found->second) return failed(EISDIR, path);
    inode = found->second;
    if (mode == OpenMode::kCreateEmpty && !inode->content.empty()) {
      if (absl::Status status = begin_operation(path); !status.ok()) return status;
      inode->before_change();
      inode->content.clear();
      inode->reserved = 0;
      inode->backed = 0;
    }
  }
  return std::make_unique<OpenFile>(this, path, std::move(inode));
}

// Of a file, or of a directory with all that is in it.
absl::Status MemoryFileSystem::rename(const std::string& from, const std::string& to) {
  if (!names_.contains(from)) return failed(ENOENT, from);
  if (absl::Status status = begin_operation(from); !status.ok()) return status;
  Names after;
  for (const auto& [path, inode] : names_) {
    const bool moves = path == from || path.starts_with(from + "/");
    if (moves) after[to + path.substr(from.size())] = inode;
    if (!moves && path != to) after.try_emplace(path, inode);
  }
  // What was not synced inside a directory that moves is synced under its new name.
  for (Change& change : history_) {
    for (std::string& dir : change.dirs) {
      if (dir == from) dir = to;
    }
  }
  change_names(std::move(after), {parent_of(from), parent_of(to)});
  return absl::OkStatus();
}

absl::Status MemoryFileSystem::unlink(const std::string& path) {
  if (!names_.contains(path)) return failed(ENOENT, path);
  if (absl::Status status = begin_operation(path); !status.ok()) return status;
  Names after = names_;
  after.erase(path);
  change_names(std::move(after), {parent_of(path)});
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> MemoryFileSystem::list(const std::string& dir) {
  if (absl::Status status = access(dir); !status.ok()) return status;
  if (!names_.contains(dir)) return failed(ENOENT, dir);
  std::vector<std::string> names;
  for (const auto& [path, inode] : names_) {
    if (!path.starts_with(dir + "/")) continue;
    std::string name = path.substr(dir.size() + 1);
    if (name.find('/') == std::string::npos) names.push_back(std::move(name));
  }
  return names;
}

absl::Status MemoryFileSystem::create_dirs(const std::string& dir) {
  if (dir == "." || dir == "/" || names_.contains(dir)) return absl::OkStatus();
  if (absl::Status status = create_dirs(parent_of(dir)); !status.ok()) return status;
  if (absl::Status status = begin_operation(dir); !status.ok()) return status;
  Names after = names_;
  after[dir] = nullptr;
  change_names(std::move(after), {parent_of(dir)});
  return absl::OkStatus();
}

absl::Status MemoryFileSystem::remove_dir(const std::string& dir) {
  if (!names_.contains(dir)) return absl::OkStatus();
  if (absl::Status status = begin_operation(dir); !status.ok()) return status;
  Names after = names_;
  std::erase_if(after, [&](const auto& entry) {
    return entry.first == dir || entry.first.starts_with(dir + "/");
  });
  change_names(std::move(after), {parent_of(dir)});
  return absl::OkStatus();
}

// One journal for all directories: what came before the last change in `dir` is durable with it.
absl::Status MemoryFileSystem::sync_dir(const std::string& dir) {
  if (absl::Status status = begin_operation(dir); !status.ok()) return status;
  auto covered = std::find_if(history_.rbegin(), history_.rend(), [&](const Change& change) {
    return std::find(change.dirs.begin(), change.dirs.end(), dir) != change.dirs.end();
  });
  if (covered == history_.rend()) return absl::OkStatus();
  history_.erase(history_.begin(), std::prev(covered.base()));
  history_.front().dirs.clear();
  return absl::OkStatus();
}

void MemoryFileSystem::kill() {
  ++boots_;
  no_more_failures();
  for (const auto& [path, inode] : names_) {
    if (inode) inode->lock = nullptr;
  }
}

void MemoryFileSystem::crash(Random& random) {
  kill();
  names_ = history_[random.below(history_.size())].names;
  history_ = {Change{names_, {}}};
  // In the order of names, not of addresses: the same seed must do the same again.
  std::set<Inode*> done;
  for (const auto& [path, inode] : names_) {
    if (inode && done.insert(inode.get()).second) inode->crash(random);
  }
}

void MemoryFileSystem::sync_all() {
  history_ = {Change{names_, {}}};
  for (const auto& [path, inode] : names_) {
    if (inode) inode->sync();
  }
}

std::string MemoryFileSystem::contents(const std::string& path) const {
  auto found = names_.find(path);
  CHECK(found != names_.end());
  return found->second->content;
}

void MemoryFileSystem::set_contents(const std::string& path, std::string contents) {
  Names after = names_;
  auto inode = std::make_shared<Inode>();
  inode->content = std::move(contents);
  after[path] = std::move(inode);
  names_ = std::move(after);
  history_ = {Change{names_, {}}};
}

std::vector<std::string> MemoryFileSystem::paths() const {
  std::vector<std::string> out;
  for (const auto& [path, inode] : names_) {
    if (inode) out.push_back(path);
  }
  return out;
}

}  // namespace keelson::wal
