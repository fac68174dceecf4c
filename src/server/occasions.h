// server/occasions.h
//
// Occasions is what a program's main thread waits for: the signals that end it, and what its lanes
// have to say.
//
// Threads: made before any other starts, for it blocks the signals for all of them; say() from any,
//   the others on the one that made it.

#pragma once

#include <atomic>
#include <cstdint>

namespace keelson::server {

class Occasions {
 public:
  enum Kind : uint64_t { kNothing = 0, kReady = 1, kRemoved = 2, kSignal = 4 };

  Occasions();
  ~Occasions();
  Occasions(const Occasions&) = delete;
  Occasions& operator=(const Occasions&) = delete;

  void say(Kind kind);

  // The next one; a signal before all else.
  Kind wait();
  // The last one that wait() told of; 0: none.
  int signal() const { return signal_; }
  // A signal has come that wait() has not told of yet.
  bool signal_waits();

 private:
  bool take_signal();

  int signals_ = -1, bell_ = -1;
  int signal_ = 0;
  std::atomic<uint64_t> said_{0};
};

}  // namespace keelson::server
