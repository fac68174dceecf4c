// base/workers.h
//
// Workers are a few threads for what must not run on a lane: what takes long (a range of a million
// keys, a sort) and what waits for a disk. The lanes go on meanwhile.
//
// Fairness: whoever asks says where it comes from. Clients take turns, and at a client's turn its
//   connections do; a connection, and a client, has only some of the threads at a time. The jobs of
//   a connection begin in order.
// Threads: run() and go_on() from any; stop() from none of the workers. A lock guards the queue: it
//   is held for a push or a pop, by those who are about to work for a hundred times as long.
// Bounds: run() refuses when too many jobs wait, first those of whom many do (base/shares.h). One
//   that holds bytes while it waits counts as more than one.
// Lifetime: what jobs hold lives until stop() has returned; what waits then is dropped unrun.

#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "base/origin.h"
#include "base/thread.h"

namespace keelson {

class Workers {
 public:
  // `worker`, 0 … threads - 1, says on which thread it runs: things may be kept per thread by it.
  using Job = absl::AnyInvocable<void(int worker)>;

  struct Options {
    std::string name = "worker";     // shows in debuggers and profiles (12 characters at most)
    int threads = 4;                 // > 0
    int threads_per_connection = 2;  // > 0
    int threads_per_client = INT32_MAX;
    size_t max_waiting = 4096;
    size_t bytes_as_one = 64 << 10;  // > 0; a job counts as one more for so many that it holds
    size_t max_waiting_of_connection = SIZE_MAX;
    int niceness = 0;  // as nice(2): how much the threads give way to others
  };

  explicit Workers(Options options);
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  // False: too many wait, and `job` will not run. `bytes`: what it holds until then.
  [[nodiscard]] bool run(Origin from, Job job, size_t bytes = 0);
  // For those of whom nobody has more than one connection.
  [[nodiscard]] bool run(uint64_t owner, Job job, size_t bytes = 0) {
    return run({owner, owner}, std::move(job), bytes);
  }
  // The rest of something that was admitted, of which there is one job at a time: never refused.
  void go_on(Origin from, Job job);
  void go_on(uint64_t owner, Job job) { go_on({owner, owner}, std::move(job)); }
  // On that worker, between two of its jobs: upkeep of what is kept per thread. Never refused.
  void run_on(int worker, Job job);

  // Lets the jobs that run end, drops those that wait, and joins the threads. Later ones are
  // dropped. A second call does nothing.
  void stop();

  int size() const { return options_.threads; }

  // How often run() has refused, because too many waited in all, or of the client. Any thread.
  uint64_t times_full() const { return full_.load(std::memory_order_relaxed); }
  uint64_t times_over_share() const { return over_share_.load(std::memory_order_relaxed); }

 private:
  struct Waiting {
    Job job;
    size_t weight;  // > 0
  };
  struct Connection {
    std::deque<Waiting> waiting;
    size_t weight = 0;  // of all that wait
    int running = 0;    // <= threads_per_connection
  };
  // Who has jobs, waiting or running.
  struct Client {
    absl::flat_hash_map<uint64_t, Connection> connections;  // who has jobs
    std::deque<uint64_t> turns;  // exactly those connections that may_begin(), each once
    size_t weight = 0;           // of all that wait, of all connections
    int running = 0;             // of all connections; <= threads_per_client
    bool listed = false;         // in turns_
  };
  struct Taken {
    Origin from;
    Job job;
  };

  void work(int worker);
  // With the lock.
  bool admit(Origin from, size_t weight);
  void push(Origin from, Job job, size_t weight);
  Taken take();
  void done(Origin from);
  void enlist(uint64_t id, Client& client);
  bool may_begin(const Connection& connection) const {
    return !connection.waiting.empty() && connection.running < options_.threads_per_connection;
  }
  bool may_begin(const Client& client) const {
    return !client.turns.empty() && client.running < options_.threads_per_client;
  }

  const Options options_;
  std::mutex mutex_;
  std::condition_variable wake_;
  absl::flat_hash_map<uint64_t, Client> clients_;  // who has jobs, waiting or running
  std::deque<uint64_t> turns_;  // exactly those clients that may_begin(), each once
  size_t weight_ = 0;           // of all jobs that wait
  bool stopping_ = false;
  std::vector<std::deque<Job>> own_;  // of run_on(), one for each worker
  std::atomic<uint64_t> full_{0}, over_share_{0};
  std::vector<Thread> threads_;
};

}  // namespace keelson
