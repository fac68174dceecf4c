// peer/stream_writer.h
//
// StreamWriter sends messages to another member down a stream that the other one has opened: the
// body of an answer that does not end.
//
// Bounds: kStreamOutbox. Messages are encoded as the connection takes them.
// Threads: the peer loop.

#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/log.h"
#include "net/http.h"
#include "peer/append_stream.h"
#include "peer/channels.h"
#include "peer/context.h"
#include "peer/peer_status.h"

namespace keelson::peer {

// "stream Message" and "stream MsgApp v2", as etcd's logs have it.
std::string_view log_name(StreamType type);

class StreamWriter {
 public:
  struct Parts {
    const Context* context;
    MemberId remote;
    PeerStatus* status;
  };
  StreamWriter(const Parts& parts, StreamType type);
  // Ends the stream.
  ~StreamWriter();

  bool open() const { return reply_ != nullptr; }
  // The other member has opened a stream; its answer has not begun. One that stood before ends.
  void attach(net::HttpReplyRef reply);

  // False: there is no room. REQUIRES: open(). flush() is to follow.
  bool push(raft::Message message) { return outbox_.push(std::move(message)); }
  void flush();

  // To be called several times a second: link heartbeats, and a look at whether the other end
  // takes anything.
  void tick();

 private:
  Bytes encode(const raft::Message& message);
  void begin();
  void broken(std::string_view action, std::string_view reason);
  bool drop();
  void tell(log::Level level, std::string_view line) const;

  const Context& context_;
  const MemberId remote_;
  PeerStatus& status_;
  const StreamType type_;

  Outbox outbox_{kStreamOutbox};
  net::HttpReplyRef reply_;  // null: no stream stands
  // Of the stream that stands: calls about another one find theirs gone.
  std::shared_ptr<const bool> alive_;
  std::optional<AppendEncoder> encoder_;  // of an append stream that stands
  uint64_t written_ = 0;                  // bytes on this stream
  uint64_t gone_ = 0;                     // of them, taken when progress was last seen
  MonotonicTime progress_{};
  MonotonicTime next_heartbeat_{};
};

}  // namespace keelson::peer
