// net/poller.h
//
// Poller tells who watches a descriptor that it became readable or writable: epoll, by edges, and
// a descriptor is registered once. So waiting for one costs no system call of its own; in return
// whoever watches remembers what it was told until the kernel says EAGAIN, or has given less than
// was asked for (docs/decisions/0012-epoll-by-edges.md).
//
// Threads: one, but for wake().
// Fairness: look() sees who is ready, run_one() calls one of them, so the caller stops when it has
//   had enough; the next turn goes on with those that are left. Whoever has more to do asks to be
//   called again, and is, after the next look and in turn with those that it found: however many
//   they are, neither waits for all of the others.
// Lifetime: a Watch that has ended is not called, not even for what was seen before.

#pragma once

#include <sys/epoll.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/clock.h"

namespace keelson::net {

class Poller;

// A place in one of the poller's lists.
struct WatchLink {
  WatchLink* prev = nullptr;  // both null: in none
  WatchLink* next = nullptr;
};

// One watched descriptor. It belongs to somebody else, who closes it after the watch has ended.
class Watch : private WatchLink {
 public:
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

 protected:
  Watch() = default;
  ~Watch() { unwatch(); }

  // Both directions, and the peer's end. REQUIRES: not watching.
  void watch(Poller* poller, int fd);
  void unwatch();
  // Asks for on_ready(0) after the next look, whatever the descriptor does; once, however often it
  // is asked for. REQUIRES: watching.
  void call_again();

  // `events`: EPOLLIN and so on, as the kernel has them. May end the watch, and destroy it.
  virtual void on_ready(uint32_t events) = 0;

 private:
  friend class Poller;
  Poller* poller_ = nullptr;  // null: not watching
  int fd_ = -1;
};

class Poller {
 public:
  Poller();
  ~Poller();
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

  // Sees who is ready, and waits for the first at most that long (null: for ever). Does not wait
  // while there is somebody for run_one() to call, nor when wake() was called.
  void look(std::optional<Duration> wait);
  // Calls the next of those that look() has seen; false if none is left.
  bool run_one();
  // Ends the look() that waits, or the next one. Any thread.
  void wake();

 private:
  friend class Watch;

  // In the order of asking; an empty one is linked to itself.
  struct List : WatchLink {
    List() { prev = next = this; }
    bool empty() const { return next == this; }
    void push(WatchLink* link);
    void take_all(List* other);
  };
  static void unlink(WatchLink* link);

  void forget(Watch* who);

  const int epoll_;
  const int wake_;
  std::array<epoll_event, 128> events_;  // from next_ to end_: not handed out yet
  size_t next_ = 0;
  size_t end_ = 0;           // next_ <= end_ <= events_.size()
  List due_;                 // those who asked to be called again before the last look …
  List later_;               // … and since
  bool again_next_ = false;  // they take turns with the events
};

}  // namespace keelson::net
