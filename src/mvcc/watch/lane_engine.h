// mvcc/watch/lane_engine.h
//
// LaneEngine moves events from the feed, its window and the store to the watchers of one lane.
//
// Position: every batch up to `position` has been offered to the synced watchers. take_new() moves
// it; a watcher behind it is lagging and is served by catch_up(), which never moves it.
// Threads: one lane. Invariants: see Watcher::State, and check_invariants().

#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_set.h"
#include "base/executor.h"
#include "base/random.h"
#include "mvcc/watch/event_feed.h"
#include "mvcc/watch/event_window.h"
#include "mvcc/watch/range_index.h"
#include "mvcc/watch/response.h"
#include "mvcc/watch/types.h"
#include "mvcc/watch/watcher.h"

namespace keelson::watch {

class LaneEngine {
 public:
  LaneEngine(Executor& lane, EventFeed& feed, WatchSource& source, Random& random,
             const WatchOptions& options);
  ~LaneEngine();
  LaneEngine(const LaneEngine&) = delete;
  LaneEngine& operator=(const LaneEngine&) = delete;

  Executor& lane() { return lane_; }
  Random& random() { return random_; }
  WatchSource& source() { return source_; }
  const WatchOptions& options() const { return options_; }
  WatchMetrics& metrics() { return metrics_; }
  int64_t position() const { return position_; }

  void stream_opened(StreamState& stream);
  void stream_closed(StreamState& stream);

  // Takes in all that the feed has published. Before any answer that names the store's revision.
  void take_all_new();

  // Puts the watcher where its start revision says. The created response must be out.
  void add(Watcher& watcher, const WatchedKeys& range);
  void remove(Watcher& watcher);

  // The stream's sink is over its limit; and has room again.
  void stall(StreamState& stream);
  void resume(StreamState& stream);

  void check_invariants() const;

 private:
  // By cursor, then serial; a bare revision compares with cursors.
  struct Order {
    using is_transparent = void;
    bool operator()(const Watcher* a, const Watcher* b) const {
      return a->cursor != b->cursor ? a->cursor < b->cursor : a->serial < b->serial;
    }
    bool operator()(const Watcher* a, int64_t revision) const { return a->cursor < revision; }
    bool operator()(int64_t revision, const Watcher* a) const { return revision < a->cursor; }
  };
  using ByCursor = absl::btree_set<Watcher*, Order>;

  // New batches (lane_engine.cc).
  void on_wake();
  bool take_slice();
  void skip_to(int64_t revision);
  void deliver_new(const Slice& slice);
  void deliver_synced(WatchGroup& group, WatchGroup::Members& members);
  void lag_all();
  void activate_future();

  // Putting a watcher into the list its cursor belongs to, and taking it out again.
  void place(Watcher& watcher);
  void displace(Watcher& watcher);
  void retire(Watcher& watcher);
  void lag(Watcher& watcher, int64_t cursor);

  // Catching up (catch_up.cc).
  void schedule_catch_up();
  void catch_up();
  void cancel_compacted();
  Watcher* next_in_window() const;
  Watcher* next_on_disk(int64_t limit) const;
  void catch_up_from_disk();
  void serve(const Slice& slice);
  void serve_targets(WatchGroup& group, WatchGroup::Members& members, const Slice& slice);

  // Sending (lane_engine.cc).
  template <typename Wanted>
  void match(const Slice& slice, Wanted&& wanted);
  void forget_matches();
  // Sends block[first…]; returns the first event that did not go out since the stream stalled, or
  // block.size(). The last response names `through` in its header; 0: its own last revision.
  size_t send(Watcher& watcher, const EventBlock& block, size_t first, int64_t through);
  void send_response(Watcher& watcher, const EventBlock& block, size_t first, size_t last,
                     int64_t revision);
  ResponseHead head_of(const Watcher& watcher, int64_t revision, bool fragment) const;
  const Bytes& encoded_head(const ResponseHead& head);

  Executor& lane_;
  EventFeed& feed_;
  WatchSource& source_;
  Random& random_;
  const WatchOptions options_;
  WatchMetrics metrics_;

  int64_t position_ = 0;
  std::shared_ptr<FeedInbox> inbox_;
  mvcc::EventBatchPtr ahead_;  // popped, but behind a gap or for the next slice
  EventWindow window_;         // ends at position_, if not empty
  RangeIndex index_;
  ByCursor lagging_;  // of streams that are not stalled
  ByCursor future_;
  int64_t window_sweep_ = 0;  // where the next slice from the window, and from disk, begins
  int64_t disk_sweep_ = 0;
  bool catch_up_posted_ = false;

  absl::flat_hash_set<StreamState*> streams_;
  uint64_t next_serial_ = 1;
  std::vector<WatchGroup*> touched_;  // groups with events in the slice being matched

  // The last head encoded: watchers of different streams mostly have the same id.
  ResponseHead last_head_;
  Bytes last_head_bytes_;

  // Tasks posted to the lane hold this weakly.
  std::shared_ptr<LaneEngine*> alive_ = std::make_shared<LaneEngine*>(this);
};

}  // namespace keelson::watch
