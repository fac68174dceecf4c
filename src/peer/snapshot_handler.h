// peer/snapshot_handler.h
//
// What a peer listener answers to POST /raft/snapshot: the database is saved, made into a store,
// and handed to consensus; the sender is answered when that has taken it (docs/formats/peer.md).
//
// Bounds: one at a time; a newer one puts it out. The sender is held back by the disk's pace.
// Threads: the peer loop.

#pragma once

#include <memory>

#include "net/http.h"
#include "peer/raft_handlers.h"

namespace keelson::peer {

class IncomingSnapshot;

class SnapshotHandler final : public net::HttpStreamHandler {
 public:
  explicit SnapshotHandler(RunningHub hub) : hub_(std::move(hub)) {}
  std::unique_ptr<net::HttpBodyReceiver> on_open(net::HttpRequest head,
                                                 net::HttpReplyRef reply) override;
  // Nothing comes of the one that is coming.
  void stop();

 private:
  const RunningHub hub_;
  // The one that is coming, or being made into a store; its end is its own.
  std::weak_ptr<IncomingSnapshot> current_;
};

}  // namespace keelson::peer
