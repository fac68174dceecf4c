// tests/cluster/witness.h
//
// Clients that put and read a few keys through all members, and a watcher at each, while things
// happen to the members; and what must be true of all they saw:
//
// - What the clients saw agrees with the history (verdict.h).
// - Each watcher got the whole history: in order, without a gap, nothing twice, however often its
//   stream broke.
//
// Threads: start() begins one for each client and watcher; stop() ends them. check() after that.

#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/cluster/cluster.h"
#include "tests/cluster/verdict.h"

namespace keelson::cluster {

class Witness {
 public:
  // A client stays with its member until a request fails there, as those of etcd do. Watchers stay
  // whatever happens. `seed`: of what the clients do. A cluster has at most one.
  Witness(std::vector<std::string> addresses, uint64_t seed);
  ~Witness();

  uint64_t acknowledged() const { return acknowledged_.load(); }
  // The watcher at `member` goes on at another address: its own is gone for good.
  void leave(size_t member, const std::string& address);
  // Waits until more is acknowledged than now; false after half a minute.
  bool goes_on() const;
  // Every watcher has all up to it: a compaction there takes nothing from them.
  int64_t seen_by_all() const;

  // Reads the history through `member` (or takes it from a watcher, if it is not all there any
  // more), waits until the watchers have all of it, and checks. Ends the threads.
  // REQUIRES: what happened to the members is over.
  void check(Cluster& cluster, int member, bool compacted = false);

 private:
  struct Watcher {
    std::string address;             // under mutex_
    std::vector<Event> events;       // under mutex_
    int64_t streams = 0;             // under mutex_
    std::atomic<int64_t> seen{0};    // the last revision
    std::atomic<bool> wrong{false};  // it was told what it need not be
  };

  void work(int client);
  bool operate(harness::Client& client, Operation* operation);
  void watch(Watcher& watcher);
  void watch_once(Watcher& watcher, harness::Client& client);
  void take(Watcher& watcher, const etcdserverpb::WatchResponse& response);

  std::vector<Event> history(Cluster& cluster, int member, int64_t through);

  const std::vector<std::string> addresses_;
  const uint64_t seed_;
  std::atomic<bool> stopping_{false}, watching_{true};
  std::atomic<uint64_t> acknowledged_{0};
  mutable std::mutex mutex_;
  Seen seen_;  // its history: at the end. Under mutex_
  std::vector<std::unique_ptr<Watcher>> watchers_;
  std::vector<std::thread> clients_, watching_threads_;
};

}  // namespace keelson::cluster
