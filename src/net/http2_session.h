// net/http2_session.h
//
// Http2Session speaks HTTP/2 with one client: nghttp2 does the framing, Http2Call gRPC's calls,
// Http2Exchange plain HTTP,
// and this the connection's own business: limits, keepalive both ways, the graceful end.
//
// Limits on a hostile client: streams (SETTINGS), header bytes, frames without end (CONTINUATION),
//   resets, unanswered settings and pings (nghttp2's own rate limits), pings that come too often.

#pragma once

#include <nghttp2/nghttp2.h>

#include <vector>

#include "net/backlog.h"
#include "net/http2_call.h"
#include "net/protocol.h"
#include "net/timer_wheel.h"

namespace keelson::net {

class Http2Session final : public Protocol, private Timer {
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
  struct Callbacks;

  void configure();
  void on_ping();
  void on_timer() override;  // keepalive, what the client owes, or the pause between the GOAWAYs
  void arm_timer();
  bool client_owes() const;
  Duration silence() const;
  void final_goaway();
  bool count_head();
  // Of the bytes that came for a stream, `used` are used now, and `waiting` wait with it.
  void took(int32_t stream_id, size_t used, size_t waiting);
  // Of those that waited so many are used, or nobody wants them any more.
  void used(size_t bytes);
  void open_stream(int32_t stream_id, bool end_stream);
  bool open_exchange(int32_t stream_id, bool end_stream);
  void reset(int32_t stream_id, uint32_t error_code);
  void stream_opened(Http2Stream* call);
  void stream_closed(Http2Stream* call);

  const ServerContext& server_;
  ProtocolHost& host_;
  Loop::Impl& loop_;
  nghttp2_session* session_ = nullptr;
  OutQueue* out_ = nullptr;  // during produce()
  size_t out_limit_ = 0;
  std::vector<nghttp2_nv> nv_;  // for building header blocks
  std::string scratch_[2];      // texts nv_ points to

  Http2Stream* open_ = nullptr;  // the first of them
  size_t streams_ = 0;
  Backlog* backlog_;         // calls whose turn has not come; never null
  size_t header_bytes_ = 0;  // of open calls, of large heads; <= kMostHeaderBytes
  HeadMemo memo_;
  RequestHead head_;           // of the request whose header block is being read …
  bool reading_head_ = false;  // … if one is
  size_t told_head_ = 0;       // of it, what incoming_ was told
  // Of the connection's window, what is not given back while its bytes wait; at most half of it, so
  // that streams that wait do not hold up the others.
  size_t withheld_ = 0;
  HeldBytes& incoming_;  // by open streams and their heads, and messages not served yet
  HeldBytes& outgoing_;  // by the calls, of answers that wait for the client

  bool broken_ = false;    // close, nothing to say
  bool expelled_ = false;  // close as soon as the GOAWAY is out
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
