// server/access_output.h
//
// AccessOutput is where the access log goes: a file, or the standard output or error. It has a
// thread of its own, so that nobody who serves waits for it.
//
// Threads: open() and stop() by one caller; the rest on any.
// Bounds: kMostQueued bytes wait; then has_room() is false, and whoever has a line keeps it, counts
//   it, and says so with its next ones. What cannot be written is dropped and counted as well: the
//   line ahead of the next that can says how many are missing.
// The disk: a file is not written while less than kMostSpared bytes are free on its disk (an eighth
//   of a smaller one), which may be that of the data. A reader of a pipe that does not read is
//   waited for, for a second.
// Rotation: --enable-log-rotation is for this file as well (server/rotating_file.h). Without it a
//   file that was moved or removed is begun anew within a second.

#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/thread_lane.h"
#include "server/rotating_file.h"

namespace keelson::server {

class AccessOutput {
 public:
  static constexpr size_t kMostQueued = size_t{16} << 20;
  static constexpr uint64_t kMostSpared = uint64_t{256} << 20;

  // Of a disk, in bytes.
  struct Space {
    uint64_t free = 0, total = 0;
  };
  struct Options {
    std::string target;  // stderr, stdout, or a file's path
    std::optional<LogRotation> rotation;
    const Clock* clock = nullptr;
    // Of the disk of a path; nothing: it is not known, and nothing is spared. For tests.
    std::function<std::optional<Space>(const std::string& path)> space = &space_of;
  };

  // InvalidArgument, with the target, when it cannot be opened.
  static absl::StatusOr<std::unique_ptr<AccessOutput>> open(Options options);
  ~AccessOutput();

  bool has_room() const { return queued_.load(std::memory_order_relaxed) < kMostQueued; }
  // Whole lines. `dropped`: so many ahead of them had no room.
  void write(std::string text, uint64_t lines, uint64_t dropped);
  // Writes what is queued, as far as that goes without waiting. write() drops from then on.
  void stop();

  uint64_t written() const { return written_.load(std::memory_order_relaxed); }
  uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

  static std::optional<Space> space_of(const std::string& path);

 private:
  // What takes bytes; how many it took is told.
  class Destination {
   public:
    virtual ~Destination() = default;
    virtual size_t write(std::string_view text) = 0;
  };
  class File;
  class Rotated;
  class Stream;

  explicit AccessOutput(Options options);
  void put(std::string_view text, uint64_t lines, uint64_t dropped);
  bool disk_has_space();
  void note(bool writes);

  const Options options_;
  std::unique_ptr<Destination> destination_;
  std::atomic<size_t> queued_{0};
  std::atomic<uint64_t> written_{0}, dropped_{0};
  std::atomic<bool> stopping_{false};
  bool stopped_ = false;

  // The thread's.
  uint64_t missing_ = 0;       // lines that the log has not been told of
  bool in_line_ = false;       // the last line is there in part
  bool writes_ = true;         // the last try did
  bool has_space_ = true;      // by the last look
  MonotonicTime next_look_{};  // at the disk

  ThreadLane lane_{"access-log"};
};

}  // namespace keelson::server
