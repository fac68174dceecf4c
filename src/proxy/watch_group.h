// proxy/watch_group.h
//
// WatchGroup is what clients share who bring the same metadata: the stream to the cluster and the
// watches on it. The inside of WatchHub (proxy/watch_hub.h), which says the rest.
//
// Threads: the hub's lane.

#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "proxy/watch_hub.h"

namespace keelson::proxy {

struct GroupClient;
struct Watcher;

// One watch at the cluster, and who gets what it says.
struct Broadcast {
  int64_t id = 0;
  std::tuple<std::string, std::string, bool> range;
  int64_t next = 0;    // the revision of the next event that may come; 0: not known yet
  bool asked = false;  // for, on the stream that there is; until then it is in to_create_
  bool created = false;
  int64_t revision_then = 0;  // the cluster's when it was created
  // Nothing of the past is left to come.
  bool caught_up = false;
  std::set<Watcher*> watchers;  // none of them wants anything older than next
};

// A client's watcher. Owned by its client.
struct Watcher {
  GroupClient* client = nullptr;
  int64_t id = 0;
  WatchWish wish;
  // The revision of the next event that it wants; 0: it is not known yet from when on.
  int64_t next = 0;
  bool created = false;            // its client knows
  Broadcast* broadcast = nullptr;  // null: its client does not read
};

struct GroupClient {
  uint64_t number = 0;               // differs from every other's
  std::shared_ptr<ClientSink> sink;  // shared with the stream
  std::map<int64_t, std::unique_ptr<Watcher>> watchers;
  int64_t next_id = 0;
  bool paused = false;  // it does not read; no watcher of its has a broadcast
};

class WatchGroup : public std::enable_shared_from_this<WatchGroup> {
 public:
  WatchGroup(const WatchHub::Deps& deps, WatchHub::Metadata metadata)
      : deps_(deps), metadata_(std::move(metadata)) {}
  ~WatchGroup();

  void add(std::unique_ptr<GroupClient> client);
  // REQUIRES: it was added.
  void remove(GroupClient* client);
  bool empty() const { return clients_.empty(); }
  // Nothing comes any more, and nobody is told.
  void close();

  void create(GroupClient& client, WatchWish wish);
  void cancel(GroupClient& client, int64_t id);
  void ask_progress(GroupClient& client);

  // ---- from the stream to the cluster

  void on_message(uint64_t stream, const Parts& message);
  void on_written(uint64_t stream);
  void on_end(uint64_t stream, const absl::Status& status);

 private:
  using Range = std::tuple<std::string, std::string, bool>;  // key, end, prev_kv

  void attach(Watcher& watcher);
  void detach(Watcher& watcher);
  void enter(Watcher& watcher, Broadcast& broadcast);
  Broadcast* fitting(const Watcher& watcher);
  void forget(GroupClient& client, int64_t id);
  void pause(GroupClient& client);
  void resume(uint64_t client);

  void open();
  void reopen_later(const absl::Status& why);
  void give_up(const absl::Status& why);
  void write_next();
  Bytes next_message();
  void ask_for(Broadcast& broadcast);

  Broadcast* meant(const WatchMessage& message);
  void take(Broadcast& broadcast, const WatchMessage& message);
  void created(Broadcast& broadcast, const WatchMessage& message);
  void cancelled(Broadcast& broadcast, const WatchMessage& message);
  void events(Broadcast& broadcast, const WatchMessage& message);
  void progress(Broadcast& broadcast, const WatchMessage& message);
  void merge(Broadcast& broadcast);
  void end(Broadcast& broadcast);
  void deliver(Watcher& watcher, Parts message);
  void refuse(GroupClient& client, std::string_view reason);

  const WatchHub::Deps deps_;
  const WatchHub::Metadata metadata_;
  std::map<uint64_t, std::unique_ptr<GroupClient>> clients_;  // by number

  std::map<int64_t, std::unique_ptr<Broadcast>> broadcasts_;  // by its id at the cluster
  std::map<Range, std::set<Broadcast*>> by_range_;
  int64_t last_id_ = 0;

  std::shared_ptr<outbound::RpcStream> stream_;  // shared with grpc++'s side; null: none
  uint64_t stream_number_ = 0;                   // tells the last one's news from those before
  bool writing_ = false;
  // Broadcasts that are yet to be asked for, by id; those that have been asked for, are wanted by
  // nobody any more, and are yet to be cancelled; how often progress is yet to be asked for.
  std::set<int64_t> to_create_;
  std::deque<int64_t> to_cancel_;
  size_t to_ask_progress_ = 0;                     // <= kMostToAsk
  std::deque<int64_t> unanswered_;                 // ids of broadcasts, as they were asked for
  std::deque<GroupClient*> waiting_for_progress_;  // each once
  std::string last_header_;
  bool closed_ = false;
  bool reopening_ = false;
  // Since when no server has said anything; nothing while one does.
  std::optional<MonotonicTime> silent_since_;
  Duration pause_{0};  // before the next try
};

}  // namespace keelson::proxy
