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
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_set.h"
#include "base/executor.h"
#include "base/random.h"
#include "mvcc/watch/event_feed.h"
#include "mvcc/watch/event_window.h"
#include "mvcc/watch/lag_queue.h"
#include "mvcc/watch/range_index.h"
#include "mvcc/watch/response.h"
#include "mvcc/watch/served_slice.h"
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

  // Puts the stream where its queues say, or nowhere while it is stalled. After any change to them.
  void update_turns(StreamState& stream);
  void schedule_catch_up();
  bool can_catch_up() const;

  void check_invariants() const;

 private:
  // By cursor, then serial.
  struct Order {
    bool operator()(const Watcher* a, const Watcher* b) const {
      return a->cursor != b->cursor ? a->cursor < b->cursor : a->serial < b->serial;
    }
  };
  using ByCursor = absl::btree_set<Watcher*, Order>;

  // One of the two ways through the revisions, from low to high and then from the lowest again.
  struct Sweep {
    StreamOrder order;                  // the streams that are not stalled and have watchers here
    StreamOrder::Place next;            // where it goes on
    size_t watchers = 0;                // of stalled streams, too
    size_t want_previous = 0;           // of them
    bool spent = false;                 // what is served cannot take somebody any further
    std::optional<ServedSlice> served;  // kept until another one is needed, or nobody is left
  };
  Sweep& sweep(Watcher::Way way) { return sweeps_[static_cast<size_t>(way)]; }
  const Sweep& sweep(Watcher::Way way) const { return sweeps_[static_cast<size_t>(way)]; }

  // What a sweep may still do in one turn of the lane: so many moves from line to line.
  struct Budget {
    int64_t moves;
    bool left() const { return moves > 0; }
  };
  Budget new_budget() const { return {static_cast<int64_t>(options_.turn_watchers)}; }

  void check_invariants(const Watcher& watcher) const;
  void check_turns(const StreamState& stream) const;

  // New batches (lane_engine.cc).
  // The groups with synced watchers that see something of the slice, in the order of their first
  // event; what they see is in their `matched`.
  std::vector<WatchGroup*> match(const Slice& slice);
  void on_wake();
  bool take_slice();
  void skip_to(int64_t revision);
  void deliver_new(const Slice& slice);
  void deliver_synced(WatchGroup& group, WatchGroup::Members& members);
  void activate_future();

  // Putting a watcher into the list its cursor belongs to, and taking it out again.
  void place(Watcher& watcher);
  void displace(Watcher& watcher);
  void retire(Watcher& watcher);
  void lag(Watcher& watcher, int64_t cursor);
  void lag_on(Watcher& watcher, int64_t cursor, Watcher::Way way);
  Watcher::Way way_from(int64_t cursor) const;
  void enqueue(Watcher& watcher, Watcher::Way way);
  void dequeue(Watcher& watcher);
  // The slice, if nobody is left for it; one that holds compactions back is not kept for those who
  // have stalled, either, as nothing may come for a long time. Not while it is being served.
  void drop_unwanted(Watcher::Way way);

  // Catching up (catch_up.cc).
  void catch_up();
  void cancel_compacted(Budget& budget);
  void serve_from_window();
  StreamState* next_in_window(Budget& budget);
  void leave_window(StreamState& stream, Budget& budget);
  void serve_from_store();
  void start_reading(int64_t from);
  void read_done(int64_t from, bool previous, absl::StatusOr<HistorySlice> read);
  void reading_failed(int64_t from, const absl::Status& status);
  void read_later(int64_t from);
  size_t slice_bytes(const Sweep& sweep) const;
  void serve(Watcher::Way way, Budget& budget);
  void serve_stream(StreamState& stream, Watcher::Way way, Budget& budget);
  void serve_watcher(Watcher& watcher, ServedSlice& served, Budget& budget);

  // Sending (lane_engine.cc).
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
  ByCursor future_;
  Sweep sweeps_[2];     // by Watcher::Way
  StreamOrder oldest_;  // the streams of both sweeps, by the lowest cursor
  bool catch_up_posted_ = false;
  bool reading_ = false;    // the store's sweep waits for a read, or until it may read again
  bool told_busy_ = false;  // since a read succeeded

  absl::flat_hash_set<StreamState*> streams_;
  uint64_t next_serial_ = 1;  // of watchers
  uint64_t next_stream_ = 1;

  // The last head encoded: watchers of different streams mostly have the same id.
  ResponseHead last_head_;
  Bytes last_head_bytes_;

  // Tasks posted to the lane hold this weakly.
  std::shared_ptr<LaneEngine*> alive_ = std::make_shared<LaneEngine*>(this);
};

}  // namespace keelson::watch
