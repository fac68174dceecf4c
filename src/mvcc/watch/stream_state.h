// mvcc/watch/stream_state.h
//
// StreamState is one client stream: its watchers by id, its sink, and the answers to its requests.
// Which events go to whom is the LaneEngine's part.
//
// Threads: one lane. Lifetime: dies before its engine and its sink.

#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "absl/container/btree_map.h"
#include "base/parts.h"
#include "mvcc/watch/lag_queue.h"
#include "mvcc/watch/response.h"
#include "mvcc/watch/types.h"
#include "mvcc/watch/watcher.h"

namespace keelson::watch {

class LaneEngine;

// A stream's watchers that are behind, and its places in the engine's orders (a cursor; 0: none).
struct StreamLag {
  uint64_t serial = 0;  // of the stream, in order of opening on the lane
  LagQueue queues[2];   // by Watcher::Way
  int64_t turns[2] = {0, 0};
  int64_t oldest = 0;

  LagQueue& queue(Watcher::Way way) { return queues[static_cast<size_t>(way)]; }
  const LagQueue& queue(Watcher::Way way) const { return queues[static_cast<size_t>(way)]; }
};

class StreamState {
 public:
  StreamState(LaneEngine& engine, WatchSink& sink);
  ~StreamState();
  StreamState(const StreamState&) = delete;
  StreamState& operator=(const StreamState&) = delete;

  // See WatchStream.
  std::optional<int64_t> create(const CreateRequest& request);
  void refuse(std::string_view reason);
  void cancel(int64_t watch_id);
  void request_progress();
  void on_writable();
  bool congested() const;

  // The rest is the engine's.

  // In order of id.
  const absl::btree_map<int64_t, std::unique_ptr<Watcher>>& watchers() const { return watchers_; }

  // True while the client has too much to read; then nothing but answers is sent. Once true, it
  // stays so until on_writable().
  bool stalled();
  bool known_stalled() const { return stalled_; }

  StreamLag& lag() { return lag_; }
  const StreamLag& lag() const { return lag_; }

  void send_events(Bytes head, Parts events, size_t count);
  // Tells the client that the watcher's next revision is gone.
  void send_compacted(const Watcher& watcher, int64_t compact_revision);
  // Tells the client that the watcher cannot go on, and why.
  void send_failed(const Watcher& watcher, std::string_view reason);

 private:
  bool synced(const Watcher& watcher) const;
  int64_t choose_id();
  void send_head(ResponseHead head, int64_t revision);
  void start_progress_timer();
  void progress_tick();

  LaneEngine& engine_;
  WatchSink& sink_;
  absl::btree_map<int64_t, std::unique_ptr<Watcher>> watchers_;
  int64_t next_id_ = 0;
  StreamLag lag_;
  bool stalled_ = false;
  int64_t pending_events_ = 0;  // sent since the sink was last seen empty

  bool progress_timer_ = false;
  Duration progress_interval_{0};
  // Timers cannot be cancelled; they hold this weakly.
  std::shared_ptr<StreamState*> alive_ = std::make_shared<StreamState*>(this);
};

}  // namespace keelson::watch
