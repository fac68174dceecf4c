// net/http.h
//
// Plain HTTP on a listener's port: health, metrics, version, and the peers' endpoints. HTTP/1.1
// with keep-alive, where requests of one connection are answered in order, one at a time, and
// HTTP/2, where they are not.
//
// Threads: handlers run on the connection's loop; HttpReply is for that thread only. Work that
//   finishes elsewhere posts back to reply->loop(). HttpReplyRef may be moved through other lanes.
// Lifetime: a reply outlives its connection; what is sent after the client has gone is dropped and
//   reply->over() is true. A reply whose last reference goes without an answer answers 500.
// Errors: malformed requests never reach a handler; they get 400 (431 for headers over the limit,
//   413 for a body over the limit, 501 for a coding but "chunked") and the connection closes.

#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "base/bytes.h"
#include "net/grpc.h"
#include "net/loop.h"
#include "net/message.h"

namespace keelson::net {

class Protocol;
class ProtocolHost;
using ProtocolFactory = absl::AnyInvocable<std::unique_ptr<Protocol>(ProtocolHost*)>;

struct HttpField {
  std::string name;
  std::string value;
};

struct HttpRequest {
  std::string method;  // "GET"
  std::string target;  // "/health?serializable=true", also when sent as a URL
  // What the path means, where that is not what stands in `target`: it has escapes, or is an old
  // name of another. Set by the server.
  std::string meant = {};
  std::string_view path() const;   // as it is meant
  std::string_view query() const;  // after '?', or empty
  std::vector<HttpField> fields;
  Bytes body;  // whole, for HttpHandler; empty for HttpStreamHandler
  PeerInfo peer;

  // The first field of this name, whatever its case; empty if there is none.
  std::string_view field(std::string_view name) const;
};

struct HttpResponse {
  int status = 200;
  std::vector<HttpField> fields;  // Content-Length and Date are added
  MessageParts body;
};

// Where the answer goes.
class HttpReply {
 public:
  // The whole answer at once.
  virtual void send(HttpResponse response) = 0;

  // Or in pieces: begin (response.body is the first piece), write…, end. The length is not known
  // ahead, so it goes out chunked; an HTTP/1.0 client gets the bytes up to the close.
  virtual void begin(HttpResponse response) = 0;
  virtual void write(MessageParts piece) = 0;
  virtual void end() = 0;
  // Instead of an answer: 101 with `head`'s fields (Upgrade and Connection among them), and from
  // then on the connection speaks what `make` returns (net/protocol.h), beginning with whatever the
  // client has sent behind the request. False, and nothing is done, where that cannot be: over
  // HTTP/2 or 1.0, with an answer begun, or when the server is about to end.
  virtual bool upgrade(HttpResponse head, ProtocolFactory make) = 0;
  // For an HttpStreamHandler: while it is off, its receiver gets no more of the body, and the
  // client waits once the buffers between are full. On at the beginning, and once the answer is
  // complete.
  virtual void set_reading(bool on) = 0;
  // For an HttpStreamHandler: so much it keeps of the body that it was given. It counts as held by
  // the client's connection; who makes the member hold too much is cut off, later.
  virtual void hold(size_t bytes) = 0;
  // Cuts the connection: the only honest way to say that a begun answer cannot be completed.
  virtual void abort() = 0;

  // Bytes written that the socket has not taken.
  virtual size_t pending_bytes() const = 0;
  // `task` runs each time pending_bytes() falls below 64 KiB after it had been above.
  virtual void on_writable(Task task) = 0;
  // `task` runs once when the client goes away before the answer is complete.
  virtual void on_gone(Task task) = 0;
  // `task` runs once when the server is about to end and the answer is not complete: one that would
  // go on until its client has enough ends now.
  virtual void on_drain(Task task) = 0;

  // The client has gone, or the answer is complete. Any thread.
  bool over() const { return over_.load(std::memory_order_relaxed); }
  // Any thread.
  Loop& loop() const { return *loop_; }

 protected:
  explicit HttpReply(Loop* loop) : loop_(loop) {}
  virtual ~HttpReply() = default;

  std::atomic<bool> over_{false};

 private:
  Loop* loop_;
};

// shared_ptr: the connection and the handler (perhaps on another lane) both hold it.
using HttpReplyRef = std::shared_ptr<HttpReply>;

// How long a JSON body may be that carries a message of `message_bytes` in base64, and some more.
constexpr size_t json_body_limit(size_t message_bytes) {
  return message_bytes / 3 * 4 + (64 << 10);
}

struct HttpOptions {
  // A longer body is refused with 413. The default is for messages of etcd's default limit.
  size_t max_body_bytes = json_body_limit(1536 * 1024 + 512 * 1024);
  // A body of any length is thrown away as it comes.
  bool ignores_body = false;
  // Of a prefix: an escaped slash behind it is one all the same, so that what is registered there
  // is found by it, too.
  bool escaped_slashes = false;
  // Of an HttpStreamHandler: the client says what it has to say when it likes, so silence within
  // the body is no fault.
  bool converses = false;
  // A client that closes its side has gone, as Go's servers see it: for what may take long. Else it
  // gets its answer.
  bool needs_client = false;
};

// Gets each request with its whole body. Called on many loops at once.
class HttpHandler {
 public:
  virtual ~HttpHandler() = default;
  virtual void handle(HttpRequest request, HttpReplyRef reply) = 0;
};

// Receives a body of any length as it arrives. Destroyed on the loop when the request is over.
class HttpBodyReceiver {
 public:
  virtual ~HttpBodyReceiver() = default;
  virtual void on_body(Bytes piece) = 0;
  virtual void on_end() = 0;
  // The connection broke before the end of the body. Last call to this object.
  virtual void on_abort() {}
};

// Gets each request as soon as its headers are in.
class HttpStreamHandler {
 public:
  virtual ~HttpStreamHandler() = default;
  // May return null: then the body is read and thrown away.
  virtual std::unique_ptr<HttpBodyReceiver> on_open(HttpRequest head, HttpReplyRef reply) = 0;
  // Asked once, when it is registered.
  virtual HttpOptions options() const { return {}; }
};

}  // namespace keelson::net
