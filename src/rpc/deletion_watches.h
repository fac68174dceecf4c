// rpc/deletion_watches.h
//
// DeletionWatches is how calls of one lane wait for keys to be deleted: one watcher each, on one
// stream of the lane's watches, and nothing else while they wait.
//
// Threads: one lane's loop. Lifetime: the loop's thread has ended before it goes; gone before the
//   LaneWatches. Bounds: whoever waits is a call, and those are counted by their connection.

#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "mvcc/watch/lane_watches.h"
#include "net/loop.h"

namespace keelson::rpc {

class DeletionWatches final : private watch::WatchSink {
 public:
  // Ok: the key has been deleted, or it is to be looked at again whether it was. Else: what hinders
  // the watch; Stopped when the member is about to end.
  using Done = absl::AnyInvocable<void(absl::Status)>;

  DeletionWatches(net::Loop& loop, watch::LaneWatches& watches) : loop_(loop), watches_(watches) {}

  // `done` is called once, from a later task, unless it is forgotten before: for a deletion at a
  // revision above `after`. REQUIRES: 0 <= after <= the store's revision.
  int64_t wait(std::string_view key, int64_t after, Done done);
  void forget(int64_t id);

  // Everybody who waits is told Stopped, and whoever comes later.
  void close();

  size_t waiting() const { return waiting_.size(); }

 private:
  void send(Parts response) override;
  size_t pending_bytes() const override { return 0; }
  void note(int64_t id, absl::Status status);
  void tell();

  net::Loop& loop_;
  watch::LaneWatches& watches_;
  std::unique_ptr<watch::WatchStream> stream_;  // while anybody waits
  absl::flat_hash_map<int64_t, Done> waiting_;  // by id of the watcher
  struct Told {
    int64_t id;
    absl::Status status;
  };
  std::vector<Told> told_;  // not empty: a task is posted that tells them
  int64_t next_id_ = 1;
  bool closed_ = false;
};

}  // namespace keelson::rpc
