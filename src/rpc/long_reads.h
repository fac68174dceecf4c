// rpc/long_reads.h
//
// LongReads is where reads go that must not run on an io lane: those that visit more than a few
// thousand keys, or sort more than a few hundred, those of values that are not in memory, and those
// of the past that watchers make.
//
// A read is tried on its lane first, within try_bounds(). Told "not here", it is run again from the
// beginning by run(), on one of two sorts of worker threads: some for what lacks a few values and
// will be done as soon as the disk has answered; others, that give way to everybody, for what takes
// long. Clients, and a client's connections, take turns at both (base/workers.h). Reads of a few
// values that one connection asks for in the same batch of its loop go to a worker together, and
// come back together: the way there costs more than such a read.
//
// Threads: run() on the call's loop; the read on a worker; what it returns on the loop again.
// Bounds: too many reads waiting are refused with errors::RequestTooManyRequests(), first those of
//   a client who has many; one with a large request counts as several. Once its call is over a read
//   ends within a few thousand keys, or is not begun at all.
// Lifetime: stop() ends it, while the loops and the store still live. Answers to what was dropped
//   are never given.

#pragma once

#include <memory>
#include <vector>

#include "base/executor.h"
#include "base/workers.h"
#include "mvcc/store.h"
#include "net/grpc.h"

namespace keelson::rpc {

class LongReads {
 public:
  // Reads, on a view of the newest revision, and returns what is to be done on the loop then.
  using Read = absl::AnyInvocable<Task(const mvcc::ReadView&)>;

  // Before the loops have anything to do; they outlive this.
  LongReads(mvcc::Store& store, net::LoopPool& loops);
  ~LongReads();

  // What one request may do on its lane.
  static mvcc::ReadBounds try_bounds() { return {.keys = 4096, .backend = false}; }

  // REQUIRES: a read within `tried` was told is_not_here().
  // A range that lacks more than a megabyte is held rather than read, where it may be.
  void run(Origin from, net::CallRef call, const mvcc::ReadBounds& tried, Read read);
  // The same, but whoever is refused is told by `false` and still has its call. REQUIRES: no values
  // are wanted, or the range holds few.
  bool offer(Origin from, net::CallRef call, Read read);
  // What reads nothing and still takes long (sorting, encoding), among the reads that do; the same
  // bounds and turns. Not begun once the call is over.
  void compute(Origin from, net::CallRef call, absl::AnyInvocable<Task()> work);

  // What a lane's watchers need of the store's past. One at a time for each owner: it is not
  // refused.
  void look_back(uint64_t owner, absl::AnyInvocable<void(mvcc::ReaderSlot&)> read);

  // The store was replaced: workers who read nothing do not keep the former one. Any thread.
  void leave_former_store();

  void stop();

  // How often a read was refused, because too many waited in all, or of the client. Any thread.
  uint64_t times_full() const {
    return values_.workers.times_full() + ranges_.workers.times_full();
  }
  uint64_t times_over_share() const {
    return values_.workers.times_over_share() + ranges_.workers.times_over_share();
  }

 private:
  struct One {
    net::CallRef call;
    Read read;
  };
  // Reads of a few values, of one connection.
  struct Gathered {
    Origin from;
    std::vector<One> reads;
  };
  struct Pool {
    Pool(mvcc::Store& store, Workers::Options options);
    std::vector<std::unique_ptr<mvcc::ReaderSlot>> slots;  // one for each worker
    Workers workers;
  };

  void leave_former_store(Pool& pool, int worker);
  // On a worker.
  Task read(Pool& pool, int worker, Origin from, One& one);
  // On the loop that gathered them.
  void hand_over(Gathered& gathered);

  mvcc::Store& store_;
  net::Loop& timer_;  // the first
  Pool values_;
  Pool ranges_;
  std::vector<Gathered> gathered_;  // one for each loop, that loop's
};

}  // namespace keelson::rpc
