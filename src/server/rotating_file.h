// server/rotating_file.h
//
// RotatingFile is a log file that is put aside when it is full: under its own name with the time in
// it, `log-2006-01-02T15-04-05.000.txt` of `log.txt`, as etcd's lumberjack does, so that tools find
// what they know. What was put aside is compressed, and removed by number and by age.
//
// Threads: write() and flush() by one caller at a time. Compressing and removing are done by a
//   thread of its own, as they may take seconds; the destructor waits for what it has begun.
// Errors: what cannot be written is dropped, like a log's lines anywhere; what cannot be compressed
//   or removed stays, and is tried again with the next file.
// Files: what stands in the directory under such a name counts as put aside, whoever wrote it.

#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "absl/status/statusor.h"
#include "base/clock.h"

namespace keelson::server {

// What --log-rotation-config-json asks for.
struct LogRotation {
  uint64_t max_bytes = 0;     // of one file; > 0
  uint64_t max_backups = 0;   // files put aside that stay; 0: all
  uint64_t max_age_days = 0;  // after which they go; 0: never
  bool local_time = false;    // in the names; else UTC
  bool compress = false;
};

class RotatingFile {
 public:
  // Goes on with a file that is there. `unix_time` tells the time, on any thread.
  static absl::StatusOr<std::unique_ptr<RotatingFile>> open(std::string path, LogRotation rotation,
                                                            std::function<Duration()> unix_time);
  ~RotatingFile();
  RotatingFile(const RotatingFile&) = delete;
  RotatingFile& operator=(const RotatingFile&) = delete;

  // The whole text goes into one file. How much of it did: of what was not written nothing is kept.
  size_t write(std::string_view text);
  // Waits until what is due with old files is done.
  void tidy();

 private:
  RotatingFile(std::string path, LogRotation rotation, std::function<Duration()> unix_time);

  absl::Status open_file();
  void rotate();
  std::string backup_name() const;
  void run();
  void tidy_once() const;

  const std::string path_;
  const LogRotation rotation_;
  const std::function<Duration()> unix_time_;
  int file_ = -1;
  uint64_t size_ = 0;  // of the file

  std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t asked_ = 0, done_ = 0;  // tidyings; done_ <= asked_
  bool over_ = false;
  std::thread tidier_;
};

}  // namespace keelson::server
