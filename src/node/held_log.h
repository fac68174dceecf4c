// node/held_log.h
//
// HeldLog is what of the log must stay while a snapshot is on its way to another member: that
// member needs every entry behind the snapshot, and would have to be sent another one without them,
// and so on for ever under a load that outruns what is kept of the log otherwise. etcd does not
// compact its log for as long (v3.7.1, server/etcdserver/server.go, inflightSnapshots).
//
// Threads: one caller at a time (the consensus lane).
// Bounds: a hold ends some time after its snapshot arrived, at once when that did not. How much is
//   held is the caller's to bound: give_up().

#pragma once

#include <map>
#include <optional>

#include "base/clock.h"
#include "base/ids.h"

namespace keelson::node {

class HeldLog {
 public:
  // From the arrival on: for the member to ask for what is behind the snapshot. etcd's.
  static constexpr Duration kAfterwards = std::chrono::seconds(30);

  // A snapshot at `index`, or behind it, goes to `member`; one that arrived before counts no more.
  void begin(MemberId member, Index index);
  // How one went.
  void end(MemberId member, bool arrived, MonotonicTime now);
  // Nobody waits for anything: this member leads no more, or cannot hold so much.
  void give_up() { holds_.clear(); }

  // What is behind this index is needed. Nothing: as much as is kept anyway is enough.
  std::optional<Index> needed(MonotonicTime now);

 private:
  struct Hold {
    Index index;                         // of the oldest under way, or that arrived
    int under_way = 0;                   // a second one is refused as long as there is one
    std::optional<MonotonicTime> until;  // one has arrived; under_way > 0 without
  };
  std::map<MemberId, Hold> holds_;  // no more than there are members
};

}  // namespace keelson::node
