// wal/file_system.h
//
// The disk as the log sees it. Production uses posix_file_system(); tests and the simulator put in
// disks that fail the n-th write, tear it, run full, or forget what was not synced.
//
// Threads: a FileSystem may be used from any thread; a File by one caller at a time.
// Errors: the errno's status code and text, with the path. Those that callers tell apart:
//   ResourceExhausted  ENOSPC, EDQUOT: the disk is full; nothing else (EMFILE, ENOMEM) is
//   NotFound           ENOENT
//   AlreadyExists      EEXIST
//   Unavailable        try_lock(): somebody else holds the lock

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace keelson::wal {

class File {
 public:
  // Closes, and so drops the lock. Syncs nothing.
  virtual ~File() = default;

  // Reads up to `size` bytes at `offset`; fewer only at the end of the file.
  virtual absl::StatusOr<size_t> pread(uint64_t offset, char* out, size_t size) = 0;
  // Writes all of `bytes` at `offset`, or fails having written any prefix of them.
  virtual absl::Status pwrite(uint64_t offset, std::string_view bytes) = 0;
  virtual absl::Status fdatasync() = 0;
  virtual absl::Status fsync() = 0;
  // Makes the file at least `size` bytes long, the new part zero and its space taken. Where the
  // file system cannot reserve space, only the length changes and writes may still meet a full
  // disk. On failure the file is as it was.
  virtual absl::Status allocate(uint64_t size) = 0;
  virtual absl::Status truncate(uint64_t size) = 0;
  virtual absl::StatusOr<uint64_t> size() = 0;
  // Takes the exclusive lock that etcd takes (an open-file-description lock on the whole file).
  virtual absl::Status try_lock() = 0;
};

enum class OpenMode {
  kRead,
  kReadWrite,    // must exist
  kCreate,       // read and write; made if it is not there, kept as it is otherwise
  kCreateEmpty,  // read and write; emptied if it is there
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;

  // New files get mode 0600, new directories 0700, as etcd's do.
  // What is there and is no regular file (a pipe, say, that would never answer) is refused with
  // FailedPrecondition.
  virtual absl::StatusOr<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) = 0;
  virtual absl::Status rename(const std::string& from, const std::string& to) = 0;
  virtual absl::Status unlink(const std::string& path) = 0;
  // The names in a directory, sorted; NotFound when there is no such directory.
  virtual absl::StatusOr<std::vector<std::string>> list(const std::string& dir) = 0;
  // Makes `dir` and what is missing above it; fine when it is there. The names are not synced.
  virtual absl::Status create_dirs(const std::string& dir) = 0;
  // Removes a directory that holds only files, and them; fine when it is not there.
  virtual absl::Status remove_dir(const std::string& dir) = 0;
  // Makes renames and new names in `dir` survive power loss.
  virtual absl::Status sync_dir(const std::string& dir) = 0;
};

// The machine's. Lives for ever.
FileSystem* posix_file_system();

// `error` as a status, by the table above. `what` names the call and the path.
absl::Status status_of_errno(int error, std::string_view what);

}  // namespace keelson::wal
