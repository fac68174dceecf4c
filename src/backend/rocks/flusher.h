// backend/rocks/flusher.h
//
// Flusher runs flushes on a thread of its own: those that were asked for, and those that have to be
// tried again because the disk was full.
// Threads: flush() and retry_later() from any; they never block.

#pragma once

#include <functional>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "backend/rocks/durability.h"
#include "backend/rocks/reader.h"
#include "backend/rocks/worker.h"

namespace keelson::backend::rocks {

class Flusher {
 public:
  // `make_room`: asked when a flush failed for lack of space.
  Flusher(rocksdb::DB* db, const Families& families, Durability* durability, const Waits& waits,
          std::function<void()> make_room);
  ~Flusher() { stop(false); }

  // `done` is called once, on the flusher's thread, or at stop() with kCancelled.
  void flush(Worker::Done done) { worker_.ask(std::move(done)); }
  // One more try in a second.
  void retry_later() { worker_.soon(); }
  // Ends the thread; `flush_last`: after one more flush.
  void stop(bool flush_last);

 private:
  absl::Status flush_now();

  rocksdb::DB* db_;
  const Families& families_;
  Durability* durability_;
  Worker worker_;  // last: its thread uses the rest
};

// Asks for a flush and waits for it. Not on the flusher's own thread.
absl::Status flush_and_wait(Flusher& flusher);

}  // namespace keelson::backend::rocks
