// net/websocket.h
//
// The server's side of a websocket (RFC 6455): the handshake on an HTTP/1.1 request, and then
// frames in both directions, without extensions.
//
// Threads: the connection's loop.
// Lifetime: WebSocket is shared; once its connection has gone it does nothing. The Receiver is
//   destroyed on the loop after its on_close(), never from inside one of its own methods.
// Bounds: a longer message than was agreed ends the connection (1009). What has come in and what
//   waits for the client count as the connection's (net/held_bytes.h); who does not read is not
//   read from. A turn of the loop delivers no more than some messages.
// Errors: what breaks the protocol is answered with a close frame (1002), as is what would hold too
//   much (1013).

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/functional/any_invocable.h"
#include "net/http.h"

namespace keelson::net {

class WebSocketSession;

class WebSocket {
 public:
  class Receiver {
   public:
    virtual ~Receiver() = default;
    virtual void on_message(Bytes message) = 0;
    // The client has ended, or the connection has. Last call.
    virtual void on_close() = 0;
    // pending_bytes() has fallen below 64 KiB after it had been above.
    virtual void on_writable() {}
    // The server is about to end.
    virtual void on_drain() {}
  };

  // Codes of the protocol that are of use here.
  static constexpr uint16_t kNormal = 1000;
  static constexpr uint16_t kProtocolError = 1002;
  static constexpr uint16_t kTooBig = 1009;
  static constexpr uint16_t kTryAgainLater = 1013;

  // A piece of a text message; the first begins one, `last` ends it.
  void send(const MessageParts& piece, bool last);
  // Ends the connection behind what is queued.
  void close(uint16_t code);
  // While it is off, no message is delivered, and the client is not read from.
  void set_reading(bool on);
  // So much the receiver keeps of the messages; it counts as held by the connection.
  void hold(size_t bytes);
  size_t pending_bytes() const;

 private:
  friend class WebSocketSession;
  WebSocketSession* session_ = nullptr;  // null: gone
};

struct WebSocketOptions {
  size_t max_message_bytes = 1 << 20;
  std::string protocol;  // the one chosen of those that the client offers; empty: none
};

using WebSocketOpener =
    absl::AnyInvocable<std::unique_ptr<WebSocket::Receiver>(std::shared_ptr<WebSocket>)>;

// Whether a request asks for a websocket.
bool is_websocket(const HttpRequest& request);

// Answers such a request: with a websocket, for which `open` makes the receiver, or a refusal.
void serve_websocket(const HttpRequest& request, HttpReply& reply, WebSocketOptions options,
                     WebSocketOpener open);

// "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" for "dGhlIHNhbXBsZSBub25jZQ==".
std::string websocket_accept(std::string_view key);

}  // namespace keelson::net
