// mvcc/watch/event_window.h
//
// EventWindow is a lane's own list of recent batches, without gaps: what a watcher that is a little
// behind is served from without a disk. It keeps references; the batches are shared between lanes.
//
// Threads: one lane.

#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "mvcc/event.h"
#include "mvcc/watch/types.h"

namespace keelson::watch {

// A run of consecutive revisions on its way to watchers.
struct Slice {
  int64_t from = 0;     // all events of revisions [from, through] are in it
  int64_t through = 0;  // from - 1: empty
  std::vector<std::span<const mvcc::Event>> runs;
  // What the runs point into.
  std::vector<mvcc::EventBatchPtr> batches;
  std::vector<mvcc::Event> events;
  size_t bytes = 0;
  std::shared_ptr<LatePrevious> late;  // of its last revision; may be null
  bool with_previous = false;          // its events carry what there is of previous values

  // REQUIRES: the batch begins right after `through`.
  void add(mvcc::EventBatchPtr batch);
};

class EventWindow {
 public:
  EventWindow(size_t max_bytes, size_t max_batches)
      : max_bytes_(max_bytes), max_batches_(max_batches) {}

  // Drops the oldest beyond the limits; the newest always stays.
  // REQUIRES: the window is empty, or the batch follows its last one.
  void add(mvcc::EventBatchPtr batch);
  void clear();

  bool empty() const { return batches_.empty(); }
  // REQUIRES: !empty().
  int64_t first_revision() const { return batches_.front()->first_revision; }
  int64_t last_revision() const { return batches_.back()->last_revision; }
  bool covers(int64_t revision) const {
    return !empty() && first_revision() <= revision && revision <= last_revision();
  }

  // From `revision` on, until `max_bytes` are passed or the window ends. REQUIRES:
  // covers(revision).
  Slice slice(int64_t revision, size_t max_bytes) const;

  size_t bytes() const { return bytes_; }

 private:
  const size_t max_bytes_;
  const size_t max_batches_;
  size_t bytes_ = 0;
  std::deque<mvcc::EventBatchPtr> batches_;
};

}  // namespace keelson::watch
