// mvcc/watch/lane_watches.h
//
// LaneWatches serves all watch streams of one io lane; WatchStream is one client's stream.
//
// What a watcher is promised (etcd's guarantees): its events come in order, once, all of them, and
// those of one revision in one response (unless it asked for fragments); a progress response never
// names a revision of which an event is still to come.
//
// How: a watcher is *synced* (it has been offered everything up to the lane's position), *lagging*
// (a cursor: the next revision it needs) or waiting for a *future* revision. New batches are
// matched against the synced watchers through an index in which watchers of the same range are one
// group, encoded once per group, and shared by all its watchers. A stream whose client does not
// read is stalled: its watchers become cursors as events for them come by, and nothing is kept for
// them. Cursors are served in sweeps from low to high revisions, so that many of them share one
// reading: one slice from memory and one from the store at a time, other tasks of the lane in
// between.
//
// Threads: construct, use and destroy everything on the lane (construct: see EventFeed::subscribe).
// Lifetime: lane, feed, source, random and sinks outlive the LaneWatches; streams die before it,
//   and a stream before its sink. A destroyed stream sends nothing more.
// Errors: what a client does wrong is answered on its stream, as etcd does.
// Bounds: a stream's sink gets at most WatchOptions::stream_pending bytes of events, plus one
//   response. Answers to requests are always sent: stop reading a stream that is congested().
// Source: etcd v3.7.1, server/storage/mvcc/watchable_store.go,
// server/etcdserver/api/v3rpc/watch.go.

#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "base/executor.h"
#include "base/random.h"
#include "mvcc/watch/event_feed.h"
#include "mvcc/watch/types.h"

namespace keelson::watch {

class LaneEngine;
class StreamState;

// One client stream. Destroying it cancels its watchers without a word.
class WatchStream {
 public:
  explicit WatchStream(std::unique_ptr<StreamState> state);
  ~WatchStream();

  // Answers with a created response: at once, before any event of the watcher. A bad request gets
  // watch_id -1, created and canceled, and the reason. Returns the watcher's id, if there is one.
  std::optional<int64_t> create(const CreateRequest& request);

  // The answer to a create request that may not be served (permissions): as above, with this
  // reason. etcd's texts: "rpc error: code = PermissionDenied desc = etcdserver: permission denied"
  // and the like.
  void refuse(std::string_view reason);

  // Answers with a canceled response; silent if there is no such watcher.
  void cancel(int64_t watch_id);

  // Answers for all watchers together (watch_id -1) if there are any and all of them are synced;
  // otherwise silent, as etcd is. Clients ask again.
  void request_progress();

  // The sink has room again.
  void on_writable();

  // The client leaves answers to its requests unread: take no more of them until on_writable().
  bool congested() const;

  size_t watchers() const;

 private:
  std::unique_ptr<StreamState> state_;
};

class LaneWatches {
 public:
  LaneWatches(Executor& lane, EventFeed& feed, WatchSource& source, Random& random,
              const WatchOptions& options);
  ~LaneWatches();

  std::unique_ptr<WatchStream> open(WatchSink& sink);

  // Any thread.
  const WatchMetrics& metrics() const;

  // Tests and simulation: aborts if the indexes disagree.
  void check_invariants() const;

 private:
  std::unique_ptr<LaneEngine> engine_;
};

}  // namespace keelson::watch
