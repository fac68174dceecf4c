// tests/attack/probe.h
//
// A client that behaves: on a connection of its own it reads one key after the other, linearizably,
// every few milliseconds, and notes how long each took. What it sees while somebody attacks is what
// the attack does to others.
//
// Threads: the probe has one of its own between start() and stop(). An answer that does not come
// within 20 s counts as 20 s.

#pragma once

#include <sys/types.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/harness/client.h"

namespace keelson::attack {

struct Latencies {
  size_t count = 0;
  size_t failed = 0;
  double p50 = 0, p99 = 0, max = 0;  // ms
};

class Probe {
 public:
  explicit Probe(const std::string& address);
  ~Probe();

  void start();
  Latencies stop();

 private:
  void run();

  harness::Client client_;
  std::atomic<bool> stopping_{false};
  std::vector<double> took_;
  size_t failed_ = 0;
  std::thread thread_;
};

// Of a process: resident memory in MB, CPU time used in seconds.
double resident_mb(pid_t pid);
double cpu_seconds(pid_t pid);

}  // namespace keelson::attack
