// sim/watch_door.h
//
// The watch engine of a simulated member, as a server wires it to its node: a feed that hears what
// is published, and the streams of one io lane.
//
// Threads: one. Lifetime: of one process; gone before its node is.

#pragma once

#include <memory>
#include <optional>

#include "mvcc/watch/event_feed.h"
#include "mvcc/watch/lane_watches.h"
#include "node/node.h"

namespace keelson::sim {

class WatchDoor final : public watch::WatchSource {
 public:
  // Windows and slices so small that short histories go past them.
  WatchDoor(node::Node& node, Executor& lane, Random& random);

  watch::EventFeed& feed() { return feed_; }
  std::unique_ptr<watch::WatchStream> open(watch::WatchSink& sink) { return watches_.open(sink); }

  int64_t compact_revision() const override;
  void read(watch::HistoryRequest request, Done done) override;
  std::optional<Bytes> previous_in_memory(const mvcc::Event& event) override;
  Term raft_term() const override { return Term(node_.state().term.load()); }

 private:
  node::Node& node_;
  const std::unique_ptr<mvcc::ReaderSlot> slot_;     // of the lane
  const std::unique_ptr<mvcc::ReaderSlot> reading_;  // of the background lane
  watch::EventFeed feed_;
  watch::LaneWatches watches_;
};

}  // namespace keelson::sim
