// mvcc/watch/watch_fakes.h
//
// The watch engine's surroundings for tests: a lane with a clock of its own, a store that is a
// plain list of events, and a client that reads when it is told to.

#pragma once

#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/executor.h"
#include "mvcc/watch/event_feed.h"
#include "mvcc/watch/types.h"

namespace keelson::watch {

// Runs tasks when told; time moves only by advance().
class ManualLane final : public Executor {
 public:
  void post(Task task) override { tasks_.push_back(std::move(task)); }
  void post_after(Duration delay, Task task) override {
    timers_.emplace(now_ + delay, std::move(task));
  }

  // One task; false if none waits.
  bool step();
  void run();
  void advance(Duration by);

 private:
  std::vector<Task> tasks_;
  size_t next_ = 0;
  MonotonicTime now_;
  std::multimap<MonotonicTime, Task> timers_;
};

struct Change {
  std::string key;
  std::optional<std::string> value;  // none: delete
};

// Any thread (one lock around everything).
class FakeStore final : public WatchSource {
 public:
  explicit FakeStore(int64_t revision = 1) : revision_(revision) {}

  // One transaction. Deletes of keys that are not there change nothing; returns the revision.
  int64_t commit(const std::vector<Change>& changes);
  // All since the last call, as one batch; null if nothing changed. With `forget_prev` events do
  // not carry previous values, as if those had been evicted from memory.
  mvcc::EventBatchPtr take_batch(bool forget_prev = false);
  void compact(int64_t revision);
  void fail_reads(absl::Status status);
  // Those that begin with this revision, for want of memory; 0: none.
  void refuse_reads_from(int64_t revision);
  // A disk that does not answer, until it is let go.
  void hold_reads(bool hold);
  // Answers the oldest held read; false if there is none.
  bool finish_read();
  // Whether previous values can be had without a read.
  void keep_values(bool in_memory);

  int64_t revision() const;
  std::vector<mvcc::Event> events() const;  // all there ever were

  int64_t compact_revision() const override;
  // At once, unless reads are held.
  void read(HistoryRequest request, Done done) override;
  std::optional<Bytes> previous_in_memory(const mvcc::Event& event) override;
  Term raft_term() const override { return Term(3); }

 private:
  struct Version {
    int64_t create_revision = 0, version = 0;
    Bytes kv;  // empty: deleted
    Revision revision;
  };
  void apply(const Change& change, Revision at);
  // With the lock.
  absl::StatusOr<HistorySlice> answer(const HistoryRequest& request);
  void gather(const HistoryRequest& request, HistorySlice& slice) const;
  Bytes previous(const mvcc::Event& event) const;

  mutable std::mutex mutex_;
  int64_t revision_;
  int64_t compact_revision_ = -1;
  absl::Status reads_ = absl::OkStatus();
  int64_t refused_from_ = 0;
  bool hold_ = false;
  bool in_memory_ = true;
  std::deque<std::pair<HistoryRequest, Done>> held_;
  std::map<std::string, std::vector<Version>> keys_;
  std::vector<mvcc::Event> events_;
  size_t published_ = 0;
};

// A decoded WatchResponse.
struct Response {
  struct Event {
    bool put = true;
    std::string key, value;
    int64_t create_revision = 0, mod_revision = 0, version = 0;
    bool has_prev = false;
    std::string prev_value;
    int64_t prev_mod_revision = 0;
  };
  int64_t watch_id = 0, revision = 0, compact_revision = 0;
  uint64_t cluster = 0, member = 0, term = 0;
  bool created = false, canceled = false, fragment = false;
  std::string cancel_reason;
  std::vector<Event> events;
  size_t size = 0;
};
Response decode_response(std::string_view bytes);
std::string print(const Response& response);

// A client: what it was sent is pending until it reads.
class FakeClient final : public WatchSink {
 public:
  void send(Parts response) override {
    pending_bytes_ += response.size();
    // Makers of tests answer at once.
    while (const Parts::Late* late = response.first_late()) {
      late->maker->make(late->number,
                        [&](absl::StatusOr<Bytes> part) { response.made(*std::move(part)); });
    }
    pending_.push_back(response.flat());
  }
  size_t pending_bytes() const override { return pending_bytes_; }

  // Reads one response; none if none is pending.
  std::optional<Response> read();
  size_t pending() const { return pending_.size() - next_; }
  // What it was sent last.
  const std::string& last() const { return pending_.back(); }

 private:
  std::vector<std::string> pending_;
  size_t next_ = 0;
  size_t pending_bytes_ = 0;
};

}  // namespace keelson::watch
