// net/tls/handshakes.h
//
// TlsHandshakes runs the expensive part of handshakes on threads of its own, so that a flood of
// them leaves the loops alone, and holds how many are under way.
//
// Bounds: `most` handshakes have their state in memory; those beyond it wait, each with its first
//   bytes at most, until one ends or their own deadline passes. Clients that begin and do not go
//   on cannot keep the rest out: when all places are taken, who has waited longest for its client,
//   and for at least a second, is put out.
// Threads: any. Lifetime: outlives the connections of the listeners that use it, and is gone
//   before the loops are.

#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <list>
#include <mutex>
#include <vector>

#include "base/thread.h"

namespace keelson::net {

// One handshake, seen from the pool.
class HandshakeStep {
 public:
  // On a worker: does what can be done and tells its loop. The pool does not touch it afterwards.
  virtual void run_step() = 0;
  // Has to go, to make room. Any thread, under the pool's lock.
  virtual void put_out() = 0;

 protected:
  ~HandshakeStep() = default;

 private:
  friend class TlsHandshakes;
  enum class Place { kNone, kWaiting, kReady, kRunning, kStalled };
  Place place_ = Place::kNone;
  bool counted_ = false;  // has one of the places
  std::list<HandshakeStep*>::iterator at_;
  std::chrono::steady_clock::time_point stalled_since_;
};

class TlsHandshakes {
 public:
  static constexpr size_t kMost = 1024;

  explicit TlsHandshakes(int threads, size_t most = kMost);
  // REQUIRES: every step has ended.
  ~TlsHandshakes();

  // A new handshake whose first bytes are there.
  void begin(HandshakeStep* step);
  // It waits for its client.
  void stall(HandshakeStep* step);
  // Its client has gone on.
  void resume(HandshakeStep* step);
  // It is over, or its connection is gone. True: no worker has it, nor will have it.
  bool end(HandshakeStep* step);

  // Whether one more line about a failed handshake may be logged: a flood of them is not to become
  // a flood of lines. `*unsaid` gets how many were not since the last one.
  bool may_log(uint64_t* unsaid);

  // Handshakes with state in memory.
  size_t running() const;

 private:
  using Steps = std::list<HandshakeStep*>;

  void work();
  Steps* list_of(HandshakeStep::Place place);
  void put(HandshakeStep* step, HandshakeStep::Place place);
  void take(HandshakeStep* step);
  void make_room();

  const size_t most_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  size_t counted_ = 0;  // <= most_
  Steps waiting_, ready_, stalled_;
  std::chrono::steady_clock::time_point log_second_;
  int logged_ = 0;
  uint64_t unsaid_ = 0;
  std::vector<Thread> threads_;
};

}  // namespace keelson::net
