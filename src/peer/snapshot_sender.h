// peer/snapshot_sender.h
//
// SnapshotSender sends a state to another member: one POST with the MsgSnap and the state behind
// it, made while it goes (docs/formats/peer.md). A member whose stores have the form of ours gets
// the files of our store as they are, at the entry where its newest copy stands by then; any other
// member, and one that such files did not arrive at, a database file as of the message.
//
// Bounds: one state at a time, of which about a megabyte waits for the connection.
// Time: none in all, so that a large state has what it takes: the other end must take something
//   every half minute, and answer within a minute and what its disk needs.
// Threads: the peer loop.
// Failure: told to the receiver, as success is, once for each state. The core answers it with the
//   next state; so whoever fails again and again is told of later each time, kSlowest at most.

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

  // How long a failure behind others is kept back at most.
  static constexpr Duration kSlowest = std::chrono::seconds(5);

  // REQUIRES: `message` is a MsgSnap with a snapshot. With one under way it fails at once.
  void send(raft::Message message, std::shared_ptr<const backend::Snapshot> state);
  // Several times a second.
  void tick();

 private:
  struct Sending {
    raft::Message message{};
    std::shared_ptr<const backend::Snapshot> state{};  // null once the source has it
    std::string_view path{};  // where it goes; a constant, and empty before it is planned
    Bytes head{};             // of the body
    std::string url{};
    std::shared_ptr<SnapshotSource> source{};  // shared with its work under way; null before
    net::HttpExchangeRef exchange{};           // null while it is planned
    uint64_t size = 0;                         // of all; known with the exchange
    bool making = false;                       // a piece is on its way to us
    bool made = false;                         // all of them have come
    MonotonicTime began{};
  };

  void ask_form();
  void form_told(const absl::StatusOr<net::HttpClient::Answer>& answer);
  void send_store();
  void send_database();
  void planned(absl::StatusOr<SnapshotSource::Plan> plan);
  void post();
  void make_more();
  void take(absl::StatusOr<SnapshotSource::Piece> piece);
  void let_go_of_state();
  void answered(const absl::StatusOr<net::HttpClient::Answer>& answer);
  void arrived();
  void failed(const absl::Status& why);
  void tell_failure();
  void end();

  const Context& context_;
  const MemberId remote_;
  PeerStatus& status_;
  UrlPicker& picker_;
  bool store_failed_ = false;  // the last one, sent as files: the next is a database
  std::optional<Sending> sending_;
  Duration pause_{};                        // behind the next failure; <= kSlowest
  std::optional<MonotonicTime> tell_at_{};  // the failure of the last one; not while sending_
};

}  // namespace keelson::peer
