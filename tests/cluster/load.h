// tests/cluster/load.h
//
// Clients that put keys of their own, one after the other and each key once, through the members in
// turn. What was acknowledged has to be there afterwards, whatever happened to whom.
//
// Threads: start() begins one for each client; stop() ends them. The rest on the caller's.

#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/cluster/cluster.h"

namespace keelson::cluster {

class Load {
 public:
  // `name`: what its keys begin with. A client keeps to its address until a request fails there, as
  // those of etcd do, and then goes on at the next.
  Load(std::string name, std::vector<std::string> addresses, int clients_each);
  ~Load() { stop(); }

  void stop();

  uint64_t acknowledged() const { return acknowledged_.load(); }
  // Requests that were refused or not answered in time.
  uint64_t failed() const { return failed_.load(); }
  // The longest time in which none was acknowledged.
  Milliseconds longest_gap() const;
  // Reads everything through `member`: what is missing, and what nobody wrote. REQUIRES: stopped.
  void check(Cluster& cluster, int member) const;

 private:
  void run(int client, const std::vector<std::string>& addresses);
  void note(const std::string& key);

  const std::string name_;
  std::atomic<bool> stopping_{false};
  std::atomic<uint64_t> acknowledged_{0}, failed_{0};
  mutable std::mutex mutex_;
  std::set<std::string> keys_, doubtful_;  // acknowledged; asked for, with no good answer
  std::chrono::steady_clock::time_point last_;
  std::chrono::steady_clock::duration gap_{0};
  std::vector<std::thread> threads_;
};

}  // namespace keelson::cluster
