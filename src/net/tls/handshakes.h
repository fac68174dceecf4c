// net/tls/handshakes.h
//
// TlsHandshakes runs the expensive part of handshakes on threads of its own, so that a flood of
// them leaves the loops alone, and holds how many are under way.
//
// Who is next: whoever has begun and goes on, before those who want to begin; among either the
//   places that clients come from (an address; of IPv6 a network) take turns, so that a flood from
//   one costs the others one handshake's time. Of those from one place the newest begins first: a
//   flood that cannot be served in time is not, and who comes in between is served at once or has
//   to come again, instead of waiting behind all of it.
// Crowds: while kCrowd of them wait, and a second longer, whoever is new is asked to say hello
//   again first, which costs no key operation and no place; who does is before all of its place who
//   have not. So a flood of hellos keeps nobody out, not even of its own address, unless it
//   answers, too, or speaks TLS 1.2, which cannot ask; of those one begins for kTestsForOne that
//   are asked.
// Bounds: `most` handshakes have their state in memory. Those beyond it wait, each with its first
//   bytes at most, kLongestWait and no more than kMostWaiting of them: the oldest of the newcomer's
//   own place goes when that has many, so that whoever cannot be served soon hears of it soon, and
//   may come again. Clients that begin and do
//   not go on cannot keep the rest out: when all places are taken, who has waited longest for its
//   client is put out, after a second, or a tenth of one while most places are its own address's.
// Threads: any. Lifetime: outlives the connections of the listeners that use it, and is gone
//   before the loops are.

#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <list>
#include <mutex>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/clock.h"
#include "base/thread.h"

namespace keelson::net {

// One handshake, seen from the pool.
class HandshakeStep {
 public:
  // What is known of who wants to begin.
  enum class Newcomer {
    kProven,  // it has said hello again when it was asked to, or need not be asked
    kUnknown,
    kUnproven,  // it cannot be asked
  };

  // On a worker: does what can be done and tells its loop. The pool does not touch it afterwards.
  // `ask`: no more than to ask the client for a second hello, after which it ends, or begins anew
  // as what it has turned out to be.
  virtual void run_step(bool ask) = 0;
  // Has to go, to make room, or because its turn does not come. Any thread, under the pool's lock.
  virtual void put_out() = 0;

 protected:
  ~HandshakeStep() = default;

 private:
  friend class TlsHandshakes;
  using Place = std::list<HandshakeStep*>::iterator;
  enum class State { kNone, kNew, kResumed, kRunning, kStalled };

  State state_ = State::kNone;
  Newcomer newcomer_ = Newcomer::kUnknown;
  bool counted_ = false;  // it has begun: its state is in memory
  uint64_t source_ = 0;
  Place at_;               // in its source's list, or in that of those that stall
  Place in_all_;           // new: in the order of coming
  MonotonicTime since_{};  // new, or stalled
};

class TlsHandshakes {
 public:
  using Newcomer = HandshakeStep::Newcomer;

  static constexpr size_t kMost = 1024;
  static constexpr size_t kMostWaiting = 512;
  static constexpr Duration kLongestWait = std::chrono::seconds(2);
  static constexpr size_t kCrowd = 64;
  static constexpr int kTestsForOne = 8;

  // `clock` null: the system's.
  explicit TlsHandshakes(int threads, size_t most = kMost, const Clock* clock = nullptr);
  // REQUIRES: every step has ended.
  ~TlsHandshakes();

  // Where somebody comes from, for begin(): of "10.1.2.3:40000", "[fd00::1]:40000" or a socket's
  // name.
  static uint64_t source_of(std::string_view remote);

  // A new handshake whose first bytes are there.
  void begin(HandshakeStep* step, uint64_t source, Newcomer newcomer);
  // It waits for its client.
  void stall(HandshakeStep* step);
  // Its client has gone on. `heard`: it has heard from us; before that, bytes prove nothing, and it
  // waits with those who want to begin.
  void resume(HandshakeStep* step, bool heard);
  // It is over, or its connection is gone. True: no worker has it, nor will have it.
  bool end(HandshakeStep* step);

  // Whether one more line about a failed handshake may be logged: a flood of them is not to become
  // a flood of lines. `*unsaid` gets how many were not since the last one.
  bool may_log(uint64_t* unsaid);

  // Handshakes with state in memory, those that wait to begin, how many were asked to say hello
  // again, and how many were put out.
  struct Counts {
    size_t running = 0, waiting = 0;
    uint64_t asked = 0, put_out = 0;
  };
  Counts counts() const;
  size_t running() const { return counts().running; }
  size_t waiting() const { return counts().waiting; }

 private:
  using State = HandshakeStep::State;
  using Steps = std::list<HandshakeStep*>;

  struct Source {
    std::array<Steps, 3> fresh;  // by Newcomer; of each the oldest first
    Steps resumed;               // the oldest first
    bool fresh_turn = false;     // it has a place in fresh_turns_; always while one waits
    bool resumed_turn = false;   // the same of the other
    size_t counted = 0;          // of those that have begun
    int asked_in_a_row = 0;      // while an unproven one waited; <= kTestsForOne

    Steps& of(Newcomer newcomer) { return fresh[static_cast<size_t>(newcomer)]; }
    size_t waiting() const { return fresh[0].size() + fresh[1].size() + fresh[2].size(); }
  };
  // The order of the turns; each source has one place at most. One whose work has gone meanwhile
  // is passed over.
  using Turns = std::list<uint64_t>;

  void work();
  HandshakeStep* next(bool* ask);
  HandshakeStep* next_resumed();
  HandshakeStep* next_fresh(bool* ask);
  HandshakeStep* choose(Source* source, bool* ask);
  void begins(Source* source, HandshakeStep* step);
  void put(HandshakeStep* step, State state);
  void take(HandshakeStep* step);
  void forget_if_idle(uint64_t source);
  void bound_waiting(uint64_t source);
  void put_out(HandshakeStep* step);
  void put_out_late(MonotonicTime now);
  void make_room(MonotonicTime now);

  const size_t most_;
  const SystemClock system_clock_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  absl::flat_hash_map<uint64_t, Source> sources_;
  Turns fresh_turns_, resumed_turns_;
  size_t counted_ = 0;  // <= most_
  Steps stalled_;       // the longest first
  Steps fresh_;         // of all sources, the oldest first; <= kMostWaiting
  size_t resumed_ = 0;  // of all sources
  MonotonicTime crowded_until_{};
  uint64_t asked_ = 0, put_out_ = 0;
  MonotonicTime log_second_{};
  int logged_ = 0;
  uint64_t unsaid_ = 0;
  std::vector<Thread> threads_;
};

}  // namespace keelson::net
