// bench/load/unary_load.h
//
// UnaryLoad keeps N connections × M calls in flight until a count or a time is reached: closed
// loop, the next call of a place starts when its last one ended. A Work says what the calls are.
//
// Threads: one.

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "load/connection.h"
#include "load/histogram.h"
#include "load/report.h"

namespace keelson::bench {

// What the calls of a load are. `slot` numbers the place in flight: 0 … connections × streams - 1.
class Work {
 public:
  virtual ~Work() = default;
  virtual const char* path() const = 0;
  // The answer's bytes are kept for done().
  virtual bool reads_answer() const { return false; }
  // Appends the frame of the slot's next call.
  virtual void next(size_t slot, std::string& frame) = 0;
  // False: the answer is not what it must be (counted as an error).
  virtual bool done(const Call& call) { return call.ok(); }
  // A figure of the work's own for the report.
  virtual void report(JsonLine*) const {}
};

struct UnaryOptions {
  std::vector<std::string> endpoints;  // connections take them in turn
  size_t connections = 1;
  size_t streams = 1;
  uint64_t count = 0;          // calls in all; 0: until the time is over
  double seconds = 0;          // 0: until the count is reached
  double warm_up = 0;          // seconds not counted, before
  std::vector<pid_t> servers;  // for their CPU time
  // The first call that is refused for lack of space (kResourceExhausted) ends the load, and is
  // neither an operation nor an error.
  bool until_refused = false;
};

class UnaryLoad final : public CallObserver {
 public:
  UnaryLoad(const UnaryOptions& options, Work* work);
  void run(JsonLine* line);
  void on_done(Call& call) override;

 private:
  void start(Call& call);
  bool may_start() const;
  void run_until_idle();
  void measure_from_now(uint64_t now);
  void stop(uint64_t now);
  bool is_refused(const Call& call) const;

  UnaryOptions options_;
  Work* work_;
  Poller poller_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<Call> calls_;
  Histogram latency_;
  CpuWindow cpu_;
  uint64_t started_ = 0;  // calls
  uint64_t in_flight_ = 0;
  uint64_t operations_ = 0;  // counted ones
  uint64_t errors_ = 0;      // counted or not
  uint64_t refused_ = 0;
  uint64_t bytes_ = 0;
  uint64_t measure_at_ = 0;  // ns; 0 when measuring
  uint64_t stop_at_ = UINT64_MAX;
  uint64_t began_ = 0;
  uint64_t ended_ = 0;
};

}  // namespace keelson::bench
