// net/backlog.h
//
// Backlog holds the streams of one connection, gRPC calls and plain HTTP requests, that were ready
// to be served when the turn of the loop had used up its time; they are served in later turns, in
// order, a slice of time in each. One read from a socket can bring thousands of them, and one may
// take milliseconds.
//
// Threads: the loop's. Bounds: a connection with a backlog is not read from.
// Lifetime: made by a session, which lets go of it with abandon(); it then goes when the loop's
//   inbox lets go of it.

#pragma once

#include <deque>

#include "net/loop_impl.h"
#include "net/protocol.h"

namespace keelson::net {

class Http2Stream;

class Backlog final : private LoopWork {
 public:
  explicit Backlog(ProtocolHost* host) : host_(host), loop_(host->loop()) {}

  // Calls the stream's go_on() once, unless abandoned before; keeps it until then.
  void add(Http2Stream* stream);
  bool empty() const { return streams_.empty(); }
  // A stream that is ready now must not be served now: its turn has not come.
  bool must_wait() const {
    if (running_) return loop_.impl().clock().now() >= until_;
    return !streams_.empty() || loop_.impl().out_of_time();
  }
  // Drops what waits. Last call.
  void abandon();

 private:
  ~Backlog() = default;
  void run() override;
  void drop() override;

  ProtocolHost* host_;  // null: abandoned
  Loop& loop_;
  std::deque<Http2Stream*> streams_;  // kept
  bool posted_ = false;   // in the loop's inbox, or running; always while streams_ is not empty
  bool running_ = false;  // only while posted_
  MonotonicTime until_;   // of the slice, while running_
};

}  // namespace keelson::net
