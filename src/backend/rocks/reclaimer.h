// backend/rocks/reclaimer.h
//
// Reclaimer gives the space of dead records back: by itself once enough of the store is dead, idle
// or not, and at once when it is asked to. RocksDB merges files for the sake of reads, when new
// ones come; nothing in it looks at space while nobody writes.
//
// How: the write buffers are flushed (a record and its deletion in the same buffer never reach a
//   file), then files of the key family are merged down to its last level, a step at a time
//   (merge_plan.h). Commits, reads and flushes go on beside it. Not CompactRange: it flushes by
//   itself, and not safely (docs/rocksdb.md).
// When (worth_reclaiming): a quarter of the raw bytes is dead, so rewriting costs at most three
//   bytes for one given back; sooner when the store is near its quota.
// Threads: a thread of its own does the work. look_soon() and reclaim() from any thread; they
//   never block.
// Lifetime: the database, the flusher and the space outlive this; stop() before they end.

#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backend/rocks/flusher.h"
#include "backend/rocks/merge_plan.h"
#include "backend/rocks/reserve.h"
#include "backend/rocks/space_use.h"
#include "backend/rocks/worker.h"

namespace keelson::backend::rocks {

// `known_stuck`: dead bytes that the last run could not give back (a snapshot holds them, or they
// are overhead); they are no reason for another.
bool worth_reclaiming(const KeySpace& space, uint64_t live, uint64_t known_stuck, uint64_t quota);

class Reclaimer {
 public:
  Reclaimer(rocksdb::DB* db, const Families& families, Flusher* flusher, SpaceUse* space,
            const Reserve* reserve, uint64_t quota, uint64_t step_bytes, const Waits& waits);
  ~Reclaimer() { stop(); }

  // A commit deleted records, or the store grew: looks within a second whether there is work.
  void look_soon() { worker_.soon(); }
  // Gives back all that is dead now. `done` is called once, on the reclaimer's thread or at stop().
  void reclaim(Worker::Done done) { worker_.ask(std::move(done)); }
  // Ends a run under way, and the thread.
  void stop() { worker_.stop(); }

 private:
  absl::Status look();
  // Near the quota, or on a full disk, everything counts.
  uint64_t quota_now() const;
  uint64_t step_bytes_now() const;
  // All of it, for who asked.
  absl::Status defragment();
  // All of it, or what is worth it.
  absl::Status merge(bool all);
  absl::StatusOr<Levels> key_levels() const;
  // kAborted: another merge has the files, or has just taken them away.
  absl::Status merge_files(const MergeStep& step);

  rocksdb::DB& db_;
  const Families& families_;
  Flusher& flusher_;
  SpaceUse& space_;
  const Reserve& reserve_;
  const uint64_t quota_;
  const uint64_t step_bytes_;
  const Waits waits_;
  // The thread's.
  uint64_t known_stuck_ = 0;  // <= what is dead
  bool warned_ = false;       // once per run of failures
  Worker worker_;             // last: its thread uses the rest
};

}  // namespace keelson::backend::rocks
