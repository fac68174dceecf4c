// net/http1_session.h
//
// Http1Session speaks HTTP/1.0 and 1.1 with one client: Beast parses, the Router's plain HTTP
// handlers answer. Requests are taken one at a time; what is pipelined waits unread, and the next
// one waits while much of the answers to those before it waits for the client.

#pragma once

#include <boost/system/error_code.hpp>
#include <deque>
#include <memory>
#include <string>
#include <string_view>

#include "net/http1_framing.h"
#include "net/http_reply.h"
#include "net/protocol.h"
#include "net/router.h"
#include "net/timer_wheel.h"

namespace keelson::net {

class Http1Session final : public Protocol, private HttpSink, private Timer {
 public:
  Http1Session(const ServerContext* server, ProtocolHost* host);
  ~Http1Session() override;

  bool receive(std::string_view bytes) override;
  bool produce(OutQueue& out, size_t limit) override;
  bool input_full() const override;
  void drain() override;
  bool working() const override { return opened_ && parser_done() && !answered_; }
  bool finished() const override;
  void input_ended() override;
  void closed() override;
  void each_held(HeldSort sort, absl::FunctionRef<void(const HeldItem&)> visit) const override;

 private:
  class Parser;

  bool parser_done() const;
  void process();
  bool held_back() const;
  bool step();
  bool count_incoming();
  void count_outgoing();
  void begin_request();
  void open();
  bool take_body();
  void dispatch();
  void stop_reading();
  void refuse(const Refusal& refusal);
  Refusal refusal_of(const boost::system::error_code& error) const;
  void on_timer() override;
  void expect_within(Duration time);
  bool reading_body() const;
  void expect_body();

  // HttpSink.
  void write_head(HttpResponse& response, bool length_known) override;
  void write_piece(const MessageParts& piece) override;
  void complete() override;
  void abort() override;
  void pause_body() override;
  void resume_body() override;
  void hold(size_t bytes) override;
  bool upgrade(HttpResponse& head, ProtocolFactory make) override;
  size_t pending() const override { return queued_ + host_.unsent(); }
  bool has_drained() override;
  void finish_request();
  void queue(Bytes bytes);
  void queue(const MessageParts& parts);

  const ServerContext& server_;
  ProtocolHost& host_;
  std::unique_ptr<Parser> parser_;
  size_t used_ = 0;  // bytes of input_ that process() is done with; 0 between its runs
  std::string input_;
  bool processing_ = false;

  // The request under way.
  bool begun_ = false;     // its first byte is there …
  MonotonicTime began_{};  // … and since when
  bool opened_ = false;    // its handler is chosen
  size_t head_bytes_ = 0;  // about; of no meaning before
  MonotonicTime body_began_{};
  bool body_paused_ = false;  // its receiver wants no more for now
  bool waiting_ = false;      // whole request delivered, answer not complete
  bool head_sent_ = false;    // the answer has begun
  bool answered_ = false;     // answer complete, request perhaps not
  bool keep_alive_ = true;
  bool chunked_ = false;              // the answer is
  bool to_head_ = false;              // the request was HEAD
  const HttpEntry* entry_ = nullptr;  // set exactly while opened_, but for a head that is refused
  std::unique_ptr<HttpBodyReceiver> receiver_;
  std::shared_ptr<SinkReply> reply_;
  HttpReplyRef handle_;       // until the handler gets it
  size_t handler_holds_ = 0;  // of the body

  size_t told_incoming_ = 0;  // what the host was told of input_, head and body

  std::deque<Bytes> out_;
  size_t queued_ = 0;
  size_t told_outgoing_ = 0;  // what the host was told of it
  HeldPace out_pace_;
  bool was_full_ = false;  // until the handler has heard that it is not
  bool telling_ = false;   // it is about to
  bool held_ = false;  // process() has stopped for a while; produce() looks whether it may go on
  bool draining_ = false;
  bool closing_ = false;  // nothing more is read; close when all is written
  bool broken_ = false;
};

}  // namespace keelson::net
