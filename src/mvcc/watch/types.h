// mvcc/watch/types.h
//
// What the watch engine is asked, what it asks, and where its answers go.

#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/ids.h"
#include "base/parts.h"
#include "mvcc/event.h"

namespace keelson::watch {

// etcd's WatchCreateRequest, field by field. The views need live only during the call.
struct CreateRequest {
  std::string_view key;        // empty: the smallest key, "\0"
  std::string_view range_end;  // empty: one key; "\0": all keys from `key` on
  int64_t start_revision = 0;  // 0: from now on
  bool progress_notify = false;
  bool no_put = false;     // filter NOPUT
  bool no_delete = false;  // filter NODELETE
  bool prev_kv = false;
  int64_t watch_id = 0;  // 0: the stream chooses
  bool fragment = false;
};

// The answering side of one client stream.
//
// Threads: the stream's lane only.
// The engine never queues on its own: once pending_bytes() is over WatchOptions::stream_pending it
// sends no more events until the owner calls WatchStream::on_writable(). A sink must therefore see
// to that call some time after pending_bytes() has fallen again, and must not make it, or any other
// call to the engine, from inside send().
class WatchSink {
 public:
  virtual ~WatchSink() = default;
  // Queues one encoded etcdserverpb.WatchResponse. The parts are shared with other streams.
  virtual void send(Parts response) = 0;
  // Bytes queued that have not left.
  virtual size_t pending_bytes() const = 0;
};

// The previous KeyValues of one revision that are too long together to be in memory at once: how
// long each is, and a way to read them when they are sent.
//
// Threads: any. Its life keeps a revision from being compacted, so nobody has it for long: not
// longer than the client may take with what is sent (net/http2_late_parts.cc).
class LatePrevious {
 public:
  using Done = absl::AnyInvocable<void(absl::StatusOr<std::vector<Bytes>>)>;
  struct Place {
    size_t number = 0;
    size_t size = 0;  // 0: there is none
  };

  virtual ~LatePrevious() = default;
  virtual int64_t revision() const = 0;
  // REQUIRES: the event is of that revision.
  virtual Place place_of(const mvcc::Event& event) const = 0;
  // Those of rising numbers, each of the size that was told. `done` is called on any thread,
  // perhaps from inside; never, if the member ends.
  virtual void take(std::vector<size_t> numbers, Done done) = 0;
};

// Events that are to be read back from the store.
struct HistoryRequest {
  int64_t from = 0;
  int64_t to = 0;  // >= from
  // Enough once so many are gathered.
  size_t max_bytes = 0;
  // With the previous KeyValues, as far as there are any.
  bool previous = false;
  // Of one revision no more bytes of them than these, about; if there are more, they come late.
  size_t previous_bytes = 0;
  // Not empty: these hold the events, and only their previous KeyValues are to be read.
  std::vector<mvcc::EventBatchPtr> batches;
};

struct HistorySlice {
  // All events of the revisions asked for, up to and including `through`; in order.
  std::vector<mvcc::Event> events;
  int64_t through = 0;
  // Of the last revision, or null. What its events lack may be here.
  std::shared_ptr<LatePrevious> late;
};

// The store, as the engine needs it. Called on the lanes, several at once; waits for no disk.
class WatchSource {
 public:
  using Done = absl::AnyInvocable<void(absl::StatusOr<HistorySlice>)>;

  virtual ~WatchSource() = default;
  // Everything below is gone; reads at it are still allowed. 0 or more, never falling.
  virtual int64_t compact_revision() const = 0;
  // Whole revisions, at least one of them however large, but with the bounds of previous KeyValues
  // perhaps not all that were asked for; errors::Compacted if `from` is below the
  // compact revision, and errors::RequestTooManyRequests while others hold too much. `done` is
  // called on any thread, perhaps before this returns; never, if the member ends.
  virtual void read(HistoryRequest request, Done done) = 0;
  // The encoded KeyValue that a reader one revision before the event saw, empty if there was none;
  // nullopt: it takes a read() to tell.
  virtual std::optional<Bytes> previous_in_memory(const mvcc::Event& event) = 0;
  // For response headers.
  virtual Term raft_term() const = 0;
};

struct WatchOptions {
  ClusterId cluster;
  MemberId member;

  // A watcher with progress_notify that got no event for this long (plus up to a tenth, at random
  // per stream) gets an empty response. etcd: --watch-progress-notify-interval.
  Duration progress_interval = std::chrono::minutes(10);

  // Responses to watchers with `fragment` stay below this. etcd: --max-request-bytes + 512 KiB.
  size_t fragment_bytes = (1536 + 512) * 1024;

  // A stream with more than this in its sink gets no events until it drains.
  size_t stream_pending = 1024 * 1024;

  // Recent batches that each lane keeps to catch up from without a disk. The batches are shared:
  // lanes that keep the same ones pay for them once.
  size_t window_bytes = 64 * 1024 * 1024;
  size_t window_batches = 128 * 1024;

  // Events handled at one go, be they new or read back; then other work of the lane gets its turn.
  size_t slice_bytes = 512 * 1024;

  // Previous KeyValues of one revision that are in memory at once for those who lag; what is longer
  // is read while it is sent.
  size_t previous_bytes = 4 * 1024 * 1024;
  // A read that was refused because others hold too much is tried again after this.
  Duration read_again = std::chrono::milliseconds(100);

  // Lagging watchers that are moved on at one go, and how many of one stream before it is the next
  // one's turn. What is encoded for them counts, too.
  size_t turn_watchers = 2048;
  size_t stream_watchers = 256;

  // A response to a watcher without `fragment` ends at the first revision that takes it past one of
  // these; revisions are never split. 1000 is etcd's (watchBatchMaxRevs).
  size_t response_bytes = 1024 * 1024;
  size_t response_revisions = 1000;
};

// A number with one writing thread that any thread may read.
class Counter {
 public:
  void add(int64_t n) {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  int64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> value_{0};
};

// Of one lane; sum over the lanes. Any thread may read.
struct WatchMetrics {
  Counter streams;        // etcd_debugging_mvcc_watch_stream_total
  Counter watchers;       // etcd_debugging_mvcc_watcher_total
  Counter slow_watchers;  // etcd_debugging_mvcc_slow_watcher_total: behind the store's revision
  // etcd_debugging_mvcc_pending_events_total: handed to sinks that have not been seen empty since.
  Counter pending_events;
  Counter events_sent;     // etcd_debugging_mvcc_events_total counts the same
  Counter responses_sent;  // of all kinds
  Counter lag_moves;       // watchers put in line for what they lack, the first time or anew
  Counter window_slices;   // slices caught up from memory
  Counter disk_slices;     // … from the store
};

}  // namespace keelson::watch
