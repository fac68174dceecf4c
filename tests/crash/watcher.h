// tests/crash/watcher.h
//
// Watcher watches everything while the load runs, until the server dies. What it was told is a
// promise like an acknowledgement: after the restart the same events must be there.
//
// Threads: owns one; finish() on the thread that made it.

#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "proto/rpc.pb.h"

namespace keelson::crash {

class Watcher {
 public:
  Watcher(const std::string& address, int64_t from);
  ~Watcher();
  // After the server's end: the events in the order they came.
  std::vector<mvccpb::Event> finish();

 private:
  void run(const std::string& address, int64_t from);

  std::atomic<bool> stopping_{false};
  std::vector<mvccpb::Event> events_;
  std::thread thread_;
};

}  // namespace keelson::crash
