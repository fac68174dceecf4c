// bench/load/poller.h
//
// Poller waits on sockets and timers for one thread: epoll, level-triggered, nothing else. The load
// generator shares its two cores with the server it measures, so it stays as thin as it can.
//
// Threads: one. Lifetime: a Pollable outlives its registration.
// Errors: the calls fail only when the process is out of descriptors; then it ends with a message.

#pragma once

#include <sys/epoll.h>
#include <time.h>

#include <cstdint>

namespace keelson::bench {

// CLOCK_MONOTONIC, which is one and the same for every process of a machine.
inline uint64_t now_ns() {
  timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return static_cast<uint64_t>(at.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(at.tv_nsec);
}

// Ends the program: the measurement is worth nothing any more.
[[noreturn]] void fail(const char* what, const char* why = nullptr);

class Pollable {
 public:
  virtual ~Pollable() = default;
  virtual void on_ready(uint32_t events) = 0;
};

class Poller {
 public:
  Poller();
  ~Poller();
  Poller(const Poller&) = delete;

  void add(int fd, uint32_t events, Pollable* target);
  void change(int fd, uint32_t events, Pollable* target);
  // Handles what is ready; waits at most this long for it.
  void run_once(int timeout_ms);

 private:
  void control(int operation, int fd, uint32_t events, Pollable* target);

  int epoll_ = -1;
};

// Calls `on_tick` of its owner every `period_ns`, with the number of periods gone by.
class Ticker final : public Pollable {
 public:
  class Owner {
   public:
    virtual void on_tick(uint64_t periods) = 0;

   protected:
    ~Owner() = default;
  };
  Ticker(Poller* poller, uint64_t period_ns, Owner* owner);
  ~Ticker() override;
  void on_ready(uint32_t events) override;

 private:
  Owner* owner_;
  int timer_ = -1;
};

}  // namespace keelson::bench
