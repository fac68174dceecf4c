// peer/snapshot_sender.h
//
// SnapshotSender sends a state to another member: one POST with the MsgSnap and the database file
// behind it, made while it goes (docs/formats/peer.md).
//
// Bounds: one state at a time, of which about a megabyte waits for the connection.
// Time: none in all, so that a large state has what it takes: the other end must take something
//   every half minute, and answer within a minute and what its disk needs.
// Threads: the peer loop.
// Failure: told to the receiver, as success is, once for each state.

#pragma once

#include <memory>
#include <optional>
#include <string>

#include "peer/context.h"
#include "peer/peer_status.h"
#include "peer/snapshot_source.h"
#include "peer/url_picker.h"

namespace keelson::peer {

class SnapshotSender {
 public:
  struct Parts {
    const Context* context;
    MemberId remote;
    PeerStatus* status;
    UrlPicker* picker;
  };
  explicit SnapshotSender(const Parts& parts);
  // What is under way has failed.
  ~SnapshotSender();

  // REQUIRES: `message` is a MsgSnap with a snapshot. With one under way it fails at once.
  void send(raft::Message message, std::shared_ptr<const backend::Snapshot> state);

 private:
  struct Sending {
    raft::Message message{};
    Bytes head{};  // of the body
    std::string url{};
    std::shared_ptr<SnapshotSource> source{};  // shared with its work under way
    net::HttpExchangeRef exchange{};           // null: the file is being planned
    uint64_t size = 0;                         // of all; known with the exchange
    bool making = false;                       // a piece is on its way to us
    bool made = false;                         // all of them have come
    MonotonicTime began{};
  };

  void planned(absl::StatusOr<uint64_t> size);
  void post();
  void make_more();
  void take(absl::StatusOr<SnapshotSource::Piece> piece);
  void answered(const absl::StatusOr<net::HttpClient::Answer>& answer);
  void arrived();
  void failed(const absl::Status& why);
  void end();

  const Context& context_;
  const MemberId remote_;
  PeerStatus& status_;
  UrlPicker& picker_;
  std::optional<Sending> sending_;
};

}  // namespace keelson::peer
