// bench/load/paced_load.h
//
// PacedLoad puts so many keys a second, whether the ones before were answered or not: what a client
// sees who does not slow down with the server. A put's time counts from when it was due.
//
// It goes on for a time, or until SIGINT (then it reports what it has), or until one put has been
// answered: how long a cluster is without a leader.
//
// Threads: one. Errors: puts that fail are counted; a lost connection ends the program.

#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "load/connection.h"
#include "load/histogram.h"
#include "load/report.h"
#include "load/unary_load.h"

namespace keelson::bench {

struct PacedOptions {
  std::vector<std::string> endpoints;  // puts take them in turn
  double rate = 200;                   // puts a second, over all
  double seconds = 0;                  // 0: until SIGINT
  bool until_first = false;
  std::vector<pid_t> servers;  // for their CPU time
};

class PacedLoad final : public CallObserver, private Ticker::Owner {
 public:
  PacedLoad(const PacedOptions& options, Work* work);
  void run(JsonLine* line);
  void on_done(Call& call) override;

 private:
  void on_tick(uint64_t periods) override;
  void put(uint64_t due);
  bool is_over(uint64_t now) const;

  const PacedOptions options_;
  const uint64_t period_;  // ns
  Work* const work_;
  Poller poller_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::deque<Call> calls_;   // stay where they are
  std::vector<Call*> free_;  // those of them that are not under way
  Histogram latency_;
  CpuWindow cpu_;
  bool putting_ = false;
  uint64_t began_ = 0;
  uint64_t next_due_ = 0;
  uint64_t started_ = 0;  // puts
  uint64_t answered_ = 0;
  uint64_t errors_ = 0;  // answered_ + errors_ <= started_
  uint64_t first_ = 0;   // when the first was answered; 0: none yet
};

}  // namespace keelson::bench
