// net/http2_exchange.h
//
// Http2Exchange is one plain HTTP request on an HTTP/2 stream, answered by the Router's plain HTTP
// handlers as over HTTP/1.
//
// Lifetime: its stream's, and until it is let go.
// Bounds: a body has the handler's limit; an answer is produced as the client's window takes it.
//   Both count for what the connection may hold (see ListenerOptions): a request whose body or
//   answer would be too much gets 429, and an answer in pieces is cut when it becomes too much.

#pragma once

#include <deque>
#include <memory>
#include <string>

#include "net/http2_framing.h"
#include "net/http2_stream.h"
#include "net/http_reply.h"
#include "net/request_head.h"
#include "net/router.h"

namespace keelson::net {

class Http2Exchange final : public Http2Stream, private HttpSink {
 public:
  // `request` is settled, and of that head. Keeps what it needs of `head`.
  Http2Exchange(Http2Session* session, int32_t stream_id, const RequestHead& head,
                HttpRequest request, const HttpEntry* entry);
  ~Http2Exchange() = default;
  // Chooses the handler, or refuses. First of all calls, once the session knows the stream.
  void begin(bool end_stream);

  size_t on_data(std::string_view data) override;
  void on_end_stream() override;
  void on_drain() override;
  void go_on() override;
  void keep() override;
  void let_go() override;
  bool working() const override { return remote_done_ && !answered_ && queued_ == 0; }
  void stream_closed() override;
  Pulled pull(size_t most) override;
  void write_data(size_t length, OutQueue* out) override;
  size_t head_bytes() const override { return head_bytes_; }
  size_t held_incoming() const override { return told_incoming_; }
  size_t held_outgoing() const override { return told_outgoing_; }
  void give_up(HeldSort sort) override;

 private:
  void write_head(HttpResponse& response, bool length_known) override;
  void write_piece(const MessageParts& piece) override;
  void complete() override;
  void abort() override;
  void pause_body() override { body_paused_ = true; }
  void resume_body() override;
  void hold(size_t bytes) override;
  bool upgrade(HttpResponse&, ProtocolFactory) override { return false; }
  size_t pending() const override;

  void refuse(int status);
  void reset(Http2Error error);
  // Tell the session what is held, beside what the handler keeps. False: it is too much.
  bool count_incoming(size_t bytes);
  void count_outgoing(size_t bytes);
  // Hands the request to its handler.
  void serve();
  void serve_in_turn();
  void resume();

  const HttpEntry* const entry_;
  const size_t head_bytes_;
  HttpRequest request_;
  std::string body_;
  std::string unread_;        // of a body that is paused; its window is not given back
  bool body_paused_ = false;  // its receiver wants no more for now
  std::unique_ptr<HttpBodyReceiver> receiver_;
  std::shared_ptr<SinkReply> reply_;
  HttpReplyRef handle_;  // until the handler gets it

  uint64_t declared_ = UINT64_MAX;  // of the body, by its content-length: no more comes
  const bool to_head_;              // the request is HEAD
  bool delivered_ = false;          // the whole request, to its handler
  bool answered_ = false;           // in full
  bool kept_ = false;               // waits for its turn; outlives its stream then
  bool bodiless_ = false;           // the answer ended with its head
  bool was_full_ = false;
  bool whole_ = false;     // the answer came in one piece, which was found to fit
  bool dropping_ = false;  // what is written is not kept: there was too much, or it was aborted
  std::deque<Bytes> out_;
  size_t out_offset_ = 0;     // of out_.front()
  size_t queued_ = 0;         // bytes from there on
  size_t handler_holds_ = 0;  // of the body
  size_t told_incoming_ = 0;  // what the session was told last …
  size_t told_outgoing_ = 0;  // … of queued_, and a cost of its own
};

}  // namespace keelson::net
