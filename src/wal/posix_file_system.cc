// The machine's disk.

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/text.h"
#include "wal/file_system.h"

namespace keelson::wal {

namespace {

constexpr mode_t kFileMode = 0600;  // as etcd: the data may hold secrets
constexpr mode_t kDirMode = 0700;

absl::Status failed(std::string_view what, const std::string& path) {
  return status_of_errno(errno, cat(what, " ", path));
}

// Runs `call` again as long as a signal interrupts it.
template <typename Call>
auto uninterrupted(Call call) {
  decltype(call()) result;
  do {
    result = call();
  } while (result == -1 && errno == EINTR);
  return result;
}

class PosixFile final : public File {
 public:
  PosixFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  ~PosixFile() override { close(fd_); }

  absl::StatusOr<size_t> pread(uint64_t offset, char* out, size_t size) override {
    size_t got = 0;
    while (got < size) {
      ssize_t n = uninterrupted(
          [&] { return ::pread(fd_, out + got, size - got, static_cast<off_t>(offset + got)); });
      if (n < 0) return failed("read", path_);
      if (n == 0) break;
      got += static_cast<size_t>(n);
    }
    return got;
  }

  absl::Status pwrite(uint64_t offset, std::string_view bytes) override {
    while (!bytes.empty()) {
      ssize_t n = uninterrupted(
          [&] { return ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset)); });
      if (n < 0) return failed("write", path_);
      if (n == 0) return status_of_errno(EIO, cat("write (nothing taken) ", path_));
      offset += static_cast<uint64_t>(n);
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return absl::OkStatus();
  }

  // A sync is never tried twice, not even when a signal cut it short: what happened to the dirty
  // pages is unknown then.
  absl::Status fdatasync() override {
    return ::fdatasync(fd_) == 0 ? absl::OkStatus() : failed("fdatasync", path_);
  }
  absl::Status fsync() override {
    return ::fsync(fd_) == 0 ? absl::OkStatus() : failed("fsync", path_);
  }

  absl::Status allocate(uint64_t wanted) override {
    absl::StatusOr<uint64_t> before = size();
    if (!before.ok()) return before.status();
    if (wanted == 0) return absl::OkStatus();
    if (uninterrupted([&] { return ::fallocate(fd_, 0, 0, static_cast<off_t>(wanted)); }) == 0) {
      return absl::OkStatus();
    }
    if (errno == EOPNOTSUPP || errno == ENOSYS) {
      return *before >= wanted ? absl::OkStatus() : truncate(wanted);
    }
    absl::Status status = failed("fallocate", path_);
    // What a failed fallocate leaves is up to the file system; give back what it took.
    if (size().value_or(*before) != *before) truncate(*before).IgnoreError();
    return status;
  }

  absl::Status truncate(uint64_t wanted) override {
    int result = uninterrupted([&] { return ::ftruncate(fd_, static_cast<off_t>(wanted)); });
    return result == 0 ? absl::OkStatus() : failed("truncate", path_);
  }

  absl::StatusOr<uint64_t> size() override {
    struct stat info;
    if (::fstat(fd_, &info) != 0) return failed("stat", path_);
    return static_cast<uint64_t>(info.st_size);
  }

  absl::Status try_lock() override {
    struct flock lock = {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    if (uninterrupted([&] { return ::fcntl(fd_, F_OFD_SETLK, &lock); }) == 0) {
      return absl::OkStatus();
    }
    if (errno == EAGAIN || errno == EACCES) {
      return absl::UnavailableError(to_absl(cat("locked by another process: ", path_)));
    }
    return failed("lock", path_);
  }

 private:
  const int fd_;
  const std::string path_;
};

int open_flags(OpenMode mode) {
  switch (mode) {
    case OpenMode::kRead:
      return O_RDONLY;
    case OpenMode::kReadWrite:
      return O_RDWR;
    case OpenMode::kCreate:
      return O_RDWR | O_CREAT;
    case OpenMode::kCreateEmpty:
      return O_RDWR | O_CREAT | O_TRUNC;
  }
  return O_RDONLY;
}

class PosixFileSystem final : public FileSystem {
 public:
  absl::StatusOr<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override {
    // O_NONBLOCK: a pipe is opened at once, whoever is at its other end. It means nothing to files.
    const int flags = open_flags(mode) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    int fd = uninterrupted([&] { return ::open(path.c_str(), flags, kFileMode); });
    if (fd < 0) return failed("open", path);
    auto file = std::make_unique<PosixFile>(fd, path);
    struct stat found;
    if (::fstat(fd, &found) != 0) return failed("stat", path);
    if (S_ISREG(found.st_mode)) return file;
    return absl::FailedPreconditionError(to_absl(cat("open ", path, ": it is no regular file")));
  }

  absl::Status rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) == 0) return absl::OkStatus();
    return failed(cat("rename to ", to, " from"), from);
  }

  absl::Status unlink(const std::string& path) override {
    return ::unlink(path.c_str()) == 0 ? absl::OkStatus() : failed("remove", path);
  }

  absl::StatusOr<std::vector<std::string>> list(const std::string& dir) override {
    DIR* stream = ::opendir(dir.c_str());
    if (stream == nullptr) return failed("list", dir);
    std::vector<std::string> names;
    errno = 0;
    while (dirent* entry = ::readdir(stream)) {
      std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
      errno = 0;
    }
    absl::Status status = errno == 0 ? absl::OkStatus() : failed("list", dir);
    ::closedir(stream);
    if (!status.ok()) return status;
    std::sort(names.begin(), names.end());
    return names;
  }

  absl::Status create_dirs(const std::string& dir) override {
    if (::mkdir(dir.c_str(), kDirMode) == 0) return absl::OkStatus();
    if (errno == EEXIST) return absl::OkStatus();
    size_t slash = dir.find_last_of('/');
    if (errno != ENOENT || slash == std::string::npos || slash == 0) return failed("mkdir", dir);
    absl::Status parent = create_dirs(dir.substr(0, slash));
    if (!parent.ok()) return parent;
    if (::mkdir(dir.c_str(), kDirMode) == 0 || errno == EEXIST) return absl::OkStatus();
    return failed("mkdir", dir);
  }

  absl::Status remove_dir(const std::string& dir) override {
    absl::StatusOr<std::vector<std::string>> names = list(dir);
    if (absl::IsNotFound(names.status())) return absl::OkStatus();
    if (!names.ok()) return names.status();
    for (const std::string& name : *names) {
      absl::Status status = unlink(cat(dir, "/", name));
      if (!status.ok()) return status;
    }
    return ::rmdir(dir.c_str()) == 0 ? absl::OkStatus() : failed("rmdir", dir);
  }

  absl::Status sync_dir(const std::string& dir) override {
    int fd = uninterrupted([&] { return ::open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
    if (fd < 0) return failed("open", dir);
    absl::Status status = ::fsync(fd) == 0 ? absl::OkStatus() : failed("fsync", dir);
    ::close(fd);
    return status;
  }
};

}  // namespace

// Abseil's table calls a lack of descriptors or of memory exhausted resources, too; waiting for
// disk space would not end those.
absl::Status status_of_errno(int error, std::string_view what) {
  absl::Status status = absl::ErrnoToStatus(error, to_absl(what));
  const bool full = error == ENOSPC || error == EDQUOT;
  if (full == absl::IsResourceExhausted(status)) return status;
  return absl::Status(full ? absl::StatusCode::kResourceExhausted : absl::StatusCode::kInternal,
                      status.message());
}

FileSystem* posix_file_system() {
  static PosixFileSystem* const instance = new PosixFileSystem;
  return instance;
}

}  // namespace keelson::wal
