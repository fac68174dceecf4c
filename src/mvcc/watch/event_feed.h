// mvcc/watch/event_feed.h
//
// EventFeed carries each batch of new events from the apply lane to every io lane.
//
// Each lane has an inbox: a bounded single-producer, single-consumer ring. publish() is a few
// stores per lane and at most one wake-up per lane until that lane has looked; it never waits. A
// lane that does not keep up finds its ring full, misses batches and sees it by the revisions: it
// then reads what it missed back from the store. So neither a stuck lane nor a slow client can cost
// the writer more than this, in time or in memory.
// (Rejected: one shared list with a cursor per lane. A stuck cursor would pin the list, and cutting
// it loose safely needs hazard pointers; the ring needs two counters.)
//
// Threads: publish(), reset() and subscribe() on the apply lane (subscribe() also before the first
//   publish()); revision() anywhere; an inbox's methods on its own lane.
// Lifetime: the lanes (Executor) outlive the feed. Inboxes are shared and may outlive it.

#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/executor.h"
#include "mvcc/event.h"

namespace keelson::watch {

struct FeedOptions {
  // Per lane, what may wait to be looked at. `inbox_batches` is rounded up to a power of two.
  size_t inbox_batches = 4096;
  size_t inbox_bytes = 32 * 1024 * 1024;
};

class FeedInbox;

class EventFeed {
 public:
  // `revision`: the store's when the feed starts; the first batch published follows it.
  explicit EventFeed(int64_t revision, FeedOptions options = {});
  ~EventFeed();

  // Hands the batch to all lanes. Call once the store's readers can see the batch's revisions, and
  // before anyone is told that they are applied.
  // REQUIRES: batch->first_revision == revision() + 1.
  void publish(mvcc::EventBatchPtr batch);

  // The store was replaced (a snapshot was installed): the revisions up to `revision` were never
  // published; lanes read them back from the store. REQUIRES: revision >= this->revision().
  void reset(int64_t revision);

  // The last revision published.
  int64_t revision() const { return revision_.load(std::memory_order_seq_cst); }

  // `on_wake` runs on `lane` after publish(), until the inbox is closed.
  std::shared_ptr<FeedInbox> subscribe(Executor& lane, Task on_wake);

 private:
  void announce(int64_t revision);

  const FeedOptions options_;
  std::atomic<int64_t> revision_;
  std::vector<std::shared_ptr<FeedInbox>> inboxes_;
};

// One lane's end of the feed.
class FeedInbox : public std::enable_shared_from_this<FeedInbox> {
 public:
  FeedInbox(Executor& lane, Task on_wake, const FeedOptions& options);

  // The next batch; null if there is none now. Batches come in order, but some may be missing
  // (first_revision tells). After null, everything up to the feed's revision() as read *before*
  // this call has either come or been missed.
  mvcc::EventBatchPtr pop();

  // A lane without watchers need not be woken for each batch; it is still woken before its ring
  // is full. After set_interested(true) a pop() finds all that was published without a wake-up.
  void set_interested(bool interested);

  // No wake-up after this. Idempotent.
  void close();

 private:
  friend class EventFeed;
  // Apply lane.
  void push(const mvcc::EventBatchPtr& batch);
  void wake();
  bool closed() const { return closed_.load(std::memory_order_acquire); }

  Executor& lane_;
  Task on_wake_;
  const size_t max_bytes_;
  const size_t mask_;
  std::vector<mvcc::EventBatchPtr> ring_;

  std::atomic<bool> closed_{false};
  std::atomic<bool> interested_{false};
  std::atomic<bool> woken_{false};  // a wake-up is posted and has not run

  alignas(64) std::atomic<uint64_t> pushed_{0};  // written by the apply lane
  uint64_t bytes_pushed_ = 0;                    // apply lane's
  alignas(64) std::atomic<uint64_t> popped_{0};  // written by this lane
  std::atomic<uint64_t> bytes_popped_{0};        // written by this lane
};

}  // namespace keelson::watch
