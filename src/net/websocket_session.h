// net/websocket_session.h
//
// WebSocketSession is what a connection speaks once it has become a websocket.

#pragma once

#include <deque>
#include <memory>
#include <string>
#include <string_view>

#include "net/protocol.h"
#include "net/websocket.h"

namespace keelson::net {

class WebSocketSession final : public Protocol {
 public:
  WebSocketSession(ProtocolHost* host, size_t max_message_bytes, WebSocketOpener open);
  ~WebSocketSession() override;

  bool receive(std::string_view bytes) override;
  bool produce(OutQueue& out, size_t limit) override;
  bool input_full() const override;
  void drain() override;
  bool working() const override { return receiver_ != nullptr; }
  bool finished() const override;
  void input_ended() override;
  void closed() override;
  void each_held(HeldSort sort, absl::FunctionRef<void(const HeldItem&)> visit) const override;

  // ---- from WebSocket
  void send(const MessageParts& piece, bool last);
  void close(uint16_t code);
  void set_reading(bool on);
  void hold(size_t bytes);
  size_t pending() const { return queued_ + host_.unsent(); }

 private:
  void tell_drained();
  enum Opcode : uint8_t {
    kContinue = 0,
    kText = 1,
    kBinary = 2,
    kClose = 8,
    kPing = 9,
    kPong = 10
  };
  struct Frame {
    bool fin = false;
    uint8_t opcode = 0;
    size_t head = 0;  // bytes before the payload
    size_t size = 0;  // of the payload
    char mask[4] = {};
  };

  void process();
  // One frame of the input; false when there is none yet, or no more is wanted.
  bool step();
  // Reads the head at the input's front; false if it is not all there, or breaks the protocol.
  bool read_head(Frame* frame);
  void take(const Frame& frame, std::string payload);
  void take_control(const Frame& frame, const std::string& payload);
  void go_on_later();
  void queue_frame(uint8_t opcode, bool fin, const MessageParts& payload);
  void queue(Bytes bytes);
  void end_receiver();
  void count();

  ProtocolHost& host_;
  const size_t max_message_;
  std::shared_ptr<WebSocket> handle_;
  std::unique_ptr<WebSocket::Receiver> receiver_;  // null: told of the end

  std::string input_;
  size_t used_ = 0;  // bytes of input_ that are done with; 0 between runs of process()
  std::string message_;
  bool in_message_ = false;
  size_t receiver_holds_ = 0;  // of the messages
  bool reading_ = true;
  bool processing_ = false;
  bool more_ = false;  // process() goes on in the next turn

  std::deque<Bytes> out_;
  size_t queued_ = 0;
  bool out_begun_ = false;  // a message is being sent
  bool was_full_ = false;   // until the receiver has heard that it is not
  bool telling_ = false;    // it is about to
  HeldPace in_pace_, out_pace_;
  size_t told_incoming_ = 0, told_outgoing_ = 0;

  bool closing_ = false;  // the close frame is queued; nothing more is read
  bool broken_ = false;
};

}  // namespace keelson::net
