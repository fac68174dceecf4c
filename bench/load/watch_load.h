// bench/load/watch_load.h
//
// WatchLoad: W watchers of one prefix on S streams over C connections, and puts under it at a
// steady rate. Each value begins with the time at which its put was started, so every event tells
// its lag from the writer's call to the watcher's read (both are here, on one clock).
//
// A server that cannot keep up is waited for after the last put, so that the lag counts every
// event; the rate is then that of the whole time it took. Threads: one.

#pragma once

#include <memory>
#include <string>
#include <vector>

#include "load/connection.h"
#include "load/histogram.h"
#include "load/report.h"

namespace keelson::bench {

struct WatchOptions {
  std::string endpoint;
  std::string prefix = "/bench/watched/";
  size_t connections = 10;
  size_t streams = 100;
  size_t watchers = 1000;
  double puts_per_second = 1000;
  double seconds = 5;
  double warm_up = 1;
  double patience = 30;  // seconds to wait for what is late
  size_t value_size = 256;
  std::vector<pid_t> servers;
};

class WatchLoad final : public CallObserver, public Ticker::Owner {
 public:
  explicit WatchLoad(const WatchOptions& options);
  void run(JsonLine* line);

  void on_message(Call& call, std::string_view message) override;
  void on_done(Call& call) override;
  void on_tick(uint64_t periods) override;

 private:
  void open_streams();
  void put();
  void take_event(std::string_view event, uint64_t now);
  void write_until(uint64_t deadline);
  bool all_arrived() const { return events_ >= puts_done_ * options_.watchers; }

  WatchOptions options_;
  Poller poller_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<Call> streams_;
  std::unique_ptr<Connection> writer_;
  std::vector<Call> writers_;
  std::vector<Call*> free_writers_;
  std::unique_ptr<Ticker> ticker_;
  std::string value_;
  Histogram lag_, put_latency_;
  CpuWindow cpu_;
  size_t created_ = 0;
  bool writing_ = false;
  double due_ = 0;
  uint64_t key_ = 0;
  uint64_t began_ = 0;  // ns; events of puts from then on count
  uint64_t last_event_ = 0;
  uint64_t puts_started_ = 0, puts_done_ = 0, puts_skipped_ = 0;
  uint64_t events_ = 0, bytes_ = 0, messages_ = 0;
  uint64_t errors_ = 0;
};

}  // namespace keelson::bench
