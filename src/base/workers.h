// base/workers.h
//
// Workers are a few threads for what must not run on a lane: what takes long (a range of a million
// keys, a sort) and what waits for a disk. The lanes go on meanwhile.
//
// Fairness: whoever asks names itself as an owner (a connection, say). Owners take turns, and one
//   owner has only some of the threads at a time; its own jobs begin in order.
// Threads: run() and go_on() from any; stop() from none of the workers. A lock guards the queue: it
//   is held for a push or a pop, by those who are about to work for a hundred times as long.
// Bounds: run() refuses when too many jobs wait, of all or of the owner.
// Lifetime: what jobs hold lives until stop() has returned; what waits then is dropped unrun.

#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "base/thread.h"

namespace keelson {

class Workers {
 public:
  // `worker`, 0 … threads - 1, says on which thread it runs: things may be kept per thread by it.
  using Job = absl::AnyInvocable<void(int worker)>;

  struct Options {
    std::string name = "worker";  // shows in debuggers and profiles (12 characters at most)
    int threads = 4;              // > 0
    int threads_per_owner = 2;    // > 0
    size_t max_waiting = 4096;
    size_t max_waiting_of_owner = SIZE_MAX;
    int niceness = 0;  // as nice(2): how much the threads give way to others
  };

  explicit Workers(Options options);
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  // False: too many wait, and `job` will not run.
  [[nodiscard]] bool run(uint64_t owner, Job job);
  // The rest of something that was admitted, of which there is one job at a time: never refused.
  void go_on(uint64_t owner, Job job);
  // On that worker, between two of its jobs: upkeep of what is kept per thread. Never refused.
  void run_on(int worker, Job job);

  // Lets the jobs that run end, drops those that wait, and joins the threads. Later ones are
  // dropped. A second call does nothing.
  void stop();

  int size() const { return options_.threads; }

 private:
  struct Owner {
    std::deque<Job> waiting;
    int running = 0;  // <= threads_per_owner
  };

  void work(int worker);
  void push(uint64_t owner, Job job);  // with the lock
  bool may_begin(const Owner& owner) const {
    return !owner.waiting.empty() && owner.running < options_.threads_per_owner;
  }

  const Options options_;
  std::mutex mutex_;
  std::condition_variable wake_;
  absl::flat_hash_map<uint64_t, Owner> owners_;  // who has jobs, waiting or running
  std::deque<uint64_t> turns_;                   // exactly those who may_begin(), each once
  size_t waiting_ = 0;                           // the jobs that wait, of all owners
  bool stopping_ = false;
  std::vector<std::deque<Job>> own_;  // of run_on(), one for each worker
  std::vector<Thread> threads_;
};

}  // namespace keelson
