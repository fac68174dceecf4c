// net/http2_session.h
//
// Http2Session speaks HTTP/2 with one client: Http2Framing does the frames, Http2Call gRPC's calls,
// Http2Exchange plain HTTP,
// and this the connection's own business: limits, keepalive both ways, the graceful end.
//
// Limits on a hostile client: streams (SETTINGS), header bytes, pings that come too often; and
//   those of Http2Framing.

#pragma once

#include <optional>

#include "net/backlog.h"
#include "net/http2_call.h"
#include "net/http2_framing.h"
#include "net/protocol.h"
#include "net/timer_wheel.h"

namespace keelson::net {

class Http2Session final : public Protocol, private Http2FramingUser, private Timer {
 public:
  Http2Session(const ServerContext* server, ProtocolHost* host);
  ~Http2Session() override;

  bool receive(std::string_view bytes) override;
  bool produce(OutQueue& out, size_t limit) override;
  bool input_full() const override;
  void drain() override;
  bool working() const override;
  bool finished() const override;
  void input_ended() override { broken_ = true; }
  void closed() override;
  void each_held(HeldSort sort, absl::FunctionRef<void(const HeldItem&)> visit) const override;
  void give_up(HeldSort sort, int64_t id) override;

  size_t streams() const { return streams_; }

 private:
  friend class Http2Call;
  friend class Http2Exchange;

  void head_began() override;
  MonotonicTime now() override { return loop_.now(); }
  void frame_ended() override;
  void request(int32_t stream_id, bool end_stream) override;
  void data_waits(size_t waiting) override;
  void ping() override;
  void ping_answered(std::string_view opaque) override;
  void stream_ended(Http2Stream* stream) override;

  void on_timer() override;  // keepalive, what the client owes, or the pause between the GOAWAYs
  void arm_timer();
  bool client_owes() const;
  Duration silence() const;
  void final_goaway();
  bool count_head();
  // Of the bytes that waited so many are used, or nobody wants them any more.
  void used(size_t bytes);
  bool open_exchange(int32_t stream_id, bool end_stream);
  void refuse(int32_t stream_id, Http2Error error);
  void stream_opened(Http2Stream* call);
  void unlink(Http2Stream* call);

  const ServerContext& server_;
  ProtocolHost& host_;
  Loop::Impl& loop_;
  Http2Framing framing_;

  Http2Stream* open_ = nullptr;  // the first of them
  size_t streams_ = 0;
  Backlog* backlog_;         // calls whose turn has not come; never null
  size_t header_bytes_ = 0;  // of open calls, of large heads; <= kMostHeaderBytes
  size_t told_head_ = 0;     // of a head that is being read, what incoming_ was told
  // Of the connection's window, what is not given back while its bytes wait; at most half of it, so
  // that streams that wait do not hold up the others.
  size_t withheld_ = 0;
  HeldBytes& incoming_;  // by open streams and their heads, and messages not served yet
  HeldBytes& outgoing_;  // by the calls, of answers that wait for the client

  bool broken_ = false;  // close, nothing to say
  bool draining_ = false;
  bool final_goaway_sent_ = false;

  // What the client owes us, and since when.
  bool settings_seen_ = false;
  bool head_unfinished_ = false;
  MonotonicTime owed_since_{};

  // Keepalive (as grpc-go's server).
  MonotonicTime last_read_{};
  bool ping_outstanding_ = false;
  MonotonicTime ping_sent_{};
  std::optional<MonotonicTime> last_ping_;  // from the client
  int ping_strikes_ = 0;
  bool forgive_ping_ = false;  // we have sent headers or data since its last ping
};

}  // namespace keelson::net
