// tests/cluster/wall_clock.h
//
// The wall clock of a process under test, which may be set while it runs; its monotonic one is not
// touched. The process must be linked with the C library dynamically.
//
// Threads: any.

#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace keelson::cluster {

class WallClock {
 public:
  // Where the library (shift_clock.cc) finds the path of eight bytes: the shift, in ns.
  static constexpr const char* kVariable = "KEELSON_TEST_CLOCK_SHIFT";

  WallClock();
  ~WallClock();
  WallClock(const WallClock&) = delete;
  WallClock& operator=(const WallClock&) = delete;

  // For a process that is to have this clock: `preload` is where the library is.
  std::vector<std::string> environment(const std::string& preload) const;
  // From now on it is so far from the right time.
  void shift(std::chrono::nanoseconds by);

  // How a log's line begins that is written with such a shift.
  static std::string year_in(std::chrono::nanoseconds shift);

 private:
  std::string path_;
  int64_t* shift_ = nullptr;  // shared with the process
};

}  // namespace keelson::cluster
