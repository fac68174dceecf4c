// bench/load/report.h
//
// What a run prints: one line of JSON. And what /proc says of the server's cost meanwhile.

#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "load/histogram.h"

namespace keelson::bench {

// Microseconds of CPU (user and system, all threads) that a process has used. 0: it is not there.
// The kernel counts in ticks of 10 ms, so windows should be seconds long.
uint64_t cpu_of_process_us(pid_t pid);
uint64_t own_cpu_us();

class JsonLine {
 public:
  void add(std::string_view name, double value);
  void add(std::string_view name, uint64_t value);
  void add(std::string_view name, std::string_view value);
  // mean, p50, p90, p99, p999 and max in microseconds, with this prefix.
  void add(std::string_view prefix, const Histogram& times);
  void print() const;

 private:
  void name(std::string_view name);
  std::string text_ = "{";
};

// CPU used by the servers together and by this program between construction and stop().
class CpuWindow {
 public:
  explicit CpuWindow(std::vector<pid_t> servers);
  void start();
  void stop();
  void report(JsonLine* line, uint64_t operations) const;

 private:
  uint64_t used_by_servers() const;

  std::vector<pid_t> servers_;
  uint64_t server_us_ = 0;
  uint64_t own_us_ = 0;
};

}  // namespace keelson::bench
