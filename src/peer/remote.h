// peer/remote.h
//
// Remote is one other member: all ways by which messages go to it and come from it. A member that
// is only known from what it says of itself has one way, the POSTs.
//
// Threads: the peer loop.

#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "net/http.h"
#include "peer/context.h"
#include "peer/handshake.h"
#include "peer/intake.h"
#include "peer/pipeline.h"
#include "peer/prober.h"
#include "peer/snapshot_sender.h"
#include "peer/stream_reader.h"
#include "peer/stream_writer.h"

namespace keelson::peer {

class Remote {
 public:
  using Judge = std::function<std::optional<Refusal>(const raft::Message&)>;

  struct Options {
    const Context* context;
    MemberId id;
    std::vector<std::string> urls;
    Judge judge;
  };
  Remote(Options options, bool with_streams);
  ~Remote();

  // flush() is to follow.
  void push(raft::Message message);
  void flush();
  void tick();
  // REQUIRES: with_streams.
  void send_snapshot(raft::Message message, std::shared_ptr<const backend::Snapshot> state);

  void update(std::vector<std::string> urls);
  const std::vector<std::string>& urls() const { return picker_.urls(); }

  // The other member has opened a stream. REQUIRES: with_streams.
  void attach(StreamType type, net::HttpReplyRef reply);

  std::optional<MonotonicTime> active_since() const { return status_.active_since(); }
  Intake& intake() { return *intake_; }
  PeerStatus& status() { return status_; }
  UrlPicker& picker() { return picker_; }

 private:
  // What needs the other member to know us.
  struct Streams {
    Streams(Remote* remote, Judge judge);

    StreamWriter message_writer, append_writer;
    StreamReader message_reader, append_reader;
    SnapshotSender snapshots;
    Prober prober;
  };

  void dropped(const raft::Message& message, Channel channel);
  void found_nobody();

  const Context& context_;
  const MemberId id_;
  UrlPicker picker_;
  PeerStatus status_;
  const std::shared_ptr<Intake> intake_;  // shared with the tasks that the receiver has
  Pipeline pipeline_;
  std::unique_ptr<Streams> streams_;  // null: it is not a member yet, as far as we know
  bool told_gone_ = false;            // the receiver, since a stream from it stood
  MonotonicTime next_drop_line_{};
};

}  // namespace keelson::peer
