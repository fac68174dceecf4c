// peer/snapshot_handler.h
//
// What a peer listener answers to POST /raft/snapshot and /keelson/store: the database, or the
// files of a store, are saved, made into a store of this member, and handed to consensus; the
// sender is answered when that has taken it (docs/formats/peer.md).
//
// Bounds: one at a time, of either kind; a newer one puts it out. The sender is held back by the
//   disk's pace.
// Threads: the peer loop.

#pragma once

#include <memory>

#include "net/http.h"
#include "peer/incoming_snapshot.h"
#include "peer/raft_handlers.h"

namespace keelson::peer {

class SnapshotHandler {
 public:
  explicit SnapshotHandler(const RunningHub& hub)
      : databases_(hub, SnapshotForm::kDatabase, &current_),
        stores_(hub, SnapshotForm::kStoreFiles, &current_) {}
  net::HttpStreamHandler& databases() { return databases_; }
  net::HttpStreamHandler& stores() { return stores_; }
  // Nothing comes of the one that is coming.
  void stop();

 private:
  class Door final : public net::HttpStreamHandler {
   public:
    Door(RunningHub hub, SnapshotForm form, std::weak_ptr<IncomingSnapshot>* current)
        : hub_(std::move(hub)), form_(form), current_(current) {}
    std::unique_ptr<net::HttpBodyReceiver> on_open(net::HttpRequest head,
                                                   net::HttpReplyRef reply) override;

   private:
    const RunningHub hub_;
    const SnapshotForm form_;
    std::weak_ptr<IncomingSnapshot>* const current_;
  };

  // The one that is coming, or being made into a store; its end is its own.
  std::weak_ptr<IncomingSnapshot> current_;
  Door databases_, stores_;
};

// GET /keelson/store/form: SnapshotHome::store_form(), or 404 where there is none.
class StoreFormHandler final : public net::HttpHandler {
 public:
  explicit StoreFormHandler(RunningHub hub) : hub_(std::move(hub)) {}
  void handle(net::HttpRequest request, net::HttpReplyRef reply) override;

 private:
  const RunningHub hub_;
};

}  // namespace keelson::peer
