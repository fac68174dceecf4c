// net/grpc.h
//
// The server side of gRPC, as the services (rpc/) see it: a Router maps paths to handlers; a
// handler is given a ServerCall and the request's bytes, and answers with bytes or a status.
// Protobuf is none of this layer's business.
//
// Threads: a call lives on its connection's loop; handlers run there and every method of ServerCall
//   is for that thread, but for those marked "any thread". Work that finishes on another lane
//   either uses respond_later()/fail_later() (no allocation), or posts back to call->loop().
// Lifetime: CallRef keeps the call object, not the connection: after the client has gone, answers
//   are silently dropped and cancelled() is true. Handlers and the Router outlive the listener.
// Flow control: a message is pulled from its parts only as fast as the client's window and socket
//   take it; pending_bytes() says what waits. Nothing is copied but short parts.
// Errors: an absl::Status is sent as its gRPC code and text (percent-encoded on the wire).
// Source: gRPC over HTTP/2 (PROTOCOL-HTTP2.md); texts of the framework's own errors as grpc-go's.

#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/executor.h"
#include "net/loop.h"
#include "net/message.h"
#include "trace/call_trace.h"

namespace keelson::net {

class HttpHandler;
struct HttpRequest;
struct HttpResponse;
class HttpStreamHandler;
struct HttpOptions;
class ServerCall;
struct TlsIdentity;

enum class MethodKind { kUnary, kClientStream, kServerStream, kBidiStream };

// One registered method. Lives as long as its Router.
struct MethodInfo {
  int index = 0;        // 0, 1, 2 … in order of registration
  std::string path;     // "/etcdserverpb.KV/Range"
  std::string service;  // "etcdserverpb.KV"
  std::string name;     // "Range"
  MethodKind kind = MethodKind::kUnary;
};

// Who is at the other end. Lives as long as the connection; empty after that.
struct PeerInfo {
  std::string address;     // "127.0.0.1:51234", or "@" for an unnamed Unix socket
  std::string local = {};  // where it came in, in the same spelling; empty where nobody traces
  bool tls = false;
  // Of the verified client certificate; null without one. Shared with the calls, which may outlive
  // the connection.
  std::shared_ptr<const TlsIdentity> identity = nullptr;
  // Tells it from every other connection that is open, but for one chance in 2^63, and is no
  // guessing matter (net/client_number.h); 0: none.
  uint64_t connection = 0;
  // Whose connection it is, as far as that can be known (net/client_number.h); 0: nobody's.
  uint64_t client = 0;
};

// Shared ownership of a call. Copies and destruction on any thread.
class CallRef {
 public:
  CallRef() = default;
  explicit CallRef(ServerCall* call);  // takes a new reference
  CallRef(const CallRef& other);
  CallRef(CallRef&& other) noexcept : call_(std::exchange(other.call_, nullptr)) {}
  CallRef& operator=(CallRef other) noexcept {
    std::swap(call_, other.call_);
    return *this;
  }
  ~CallRef();

  ServerCall* operator->() const { return call_; }
  ServerCall& operator*() const { return *call_; }
  ServerCall* get() const { return call_; }
  explicit operator bool() const { return call_ != nullptr; }

 private:
  ServerCall* call_ = nullptr;
};

// One RPC.
class ServerCall {
 public:
  // ---- what the client sent

  virtual const MethodInfo& method() const = 0;
  // The value of the first metadata entry of this (lower-case) name; null if there is none. A name
  // that ends in "-bin" gives the decoded bytes. Valid until the call ends.
  virtual std::optional<std::string_view> metadata(std::string_view name) const = 0;
  // Every entry in order of arrival, names and values as sent (-bin values still encoded).
  virtual void each_metadata(
      absl::FunctionRef<void(std::string_view name, std::string_view value)> visit) const = 0;
  virtual std::string_view authority() const = 0;
  virtual const PeerInfo& peer() const = 0;
  // The connection's PeerInfo::identity, and the call's own: valid after the connection, too.
  const std::shared_ptr<const TlsIdentity>& identity() const { return identity_; }
  virtual std::optional<MonotonicTime> deadline() const = 0;

  // Null as a rule: the call is not sampled, or over.
  trace::CallTrace* trace() const { return trace_.get(); }

  // True once the call is over for the client: reset, connection gone, deadline passed, or
  // answered. Any thread.
  bool over() const { return over_.load(std::memory_order_relaxed); }
  // over() as a mark to look at; lives as long as the call.
  const std::atomic<bool>& over_mark() const { return over_; }
  // The same, but not for a call that was answered. Any thread.
  bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }

  // The lane of this call. Any thread.
  Loop& loop() const { return *loop_; }

  // The request as who describes the call at its end may want to see it; none unless the handler
  // has said so. What it shares memory with is held until then, so of one that is longer than
  // kMostKept no more than its size is kept.
  static constexpr size_t kMostKept = 64 << 10;
  struct KeptRequest {
    Bytes bytes;  // whole, or none
    size_t size;
  };
  void keep_request(const Bytes& request) {
    keep(request.size() <= kMostKept ? request : Bytes(), request.size());
  }
  // Of any size: it is in memory for others' sake, who count it.
  void keep_whole_request(Bytes request) {
    const size_t size = request.size();
    keep(std::move(request), size);
  }
  const std::optional<KeptRequest>& kept_request() const { return kept_request_; }

  // ---- the answer; whatever comes after the call is over is dropped without a word

  // Metadata ahead of the first message. REQUIRES: `name` is lower case and not one of gRPC's own.
  virtual void add_header(std::string_view name, std::string_view value) = 0;
  // Metadata with the status.
  virtual void add_trailer(std::string_view name, std::string_view value) = 0;

  // Unary: one message and status OK.
  virtual void respond(MessageParts message) = 0;
  // Ends the call with an error. REQUIRES: !status.ok().
  void fail(absl::Status status) { finish(std::move(status)); }

  // Streams: queues one message behind those already queued.
  virtual void send(MessageParts message) = 0;
  // Sends the response headers now instead of with the first message.
  virtual void send_headers() = 0;
  // Bytes queued by send() that the client's window and socket have not taken.
  virtual size_t pending_bytes() const = 0;
  // Ends the call once what is queued has been sent. Without any message, an error becomes a
  // trailers-only response.
  virtual void finish(absl::Status status) = 0;

  // Stops and restarts the delivery of messages; while stopped, the client is held back by its
  // window (at most ListenerOptions::stream_window bytes wait here).
  virtual void set_reading(bool on) = 0;

  // `task` runs on the loop once, if the call is cancelled (see cancelled()) before it is answered.
  // For unary handlers; streams have StreamReceiver::on_cancel.
  virtual void on_cancel(Task task) = 0;

  // ---- from other lanes

  // As respond() and fail(), from any thread; at most one of the two, once per call. The call
  // object itself travels through the loop's inbox, so there is no allocation.
  static void respond_later(CallRef call, MessageParts message);
  static void fail_later(CallRef call, absl::Status status);

 protected:
  explicit ServerCall(Loop* loop) : loop_(loop) {}
  virtual ~ServerCall() = default;

  // The last reference has gone; any thread.
  virtual void unreferenced() = 0;
  // On the loop, when the method is known, and once the call is over.
  void begin_trace(trace::Tracer& tracer);
  void end_trace(const absl::Status& status);
  // Takes an answer that came by respond_later() (`message` when status is ok).
  virtual void post_answer(absl::Status status, MessageParts message) = 0;

  std::atomic<bool> over_{false};
  std::atomic<bool> cancelled_{false};
  std::atomic<uint32_t> refs_{0};
  Loop* loop_;
  std::shared_ptr<const TlsIdentity> identity_;
  std::optional<KeptRequest> kept_request_;  // none once the observer knows the end
  std::unique_ptr<trace::CallTrace> trace_;

 private:
  friend class CallRef;
  void keep(Bytes bytes, size_t size) {
    if (!over()) kept_request_ = KeptRequest{std::move(bytes), size};
  }
};

inline CallRef::CallRef(ServerCall* call) : call_(call) {
  if (call_) call_->refs_.fetch_add(1, std::memory_order_relaxed);
}
inline CallRef::CallRef(const CallRef& other) : CallRef(other.call_) {}
inline CallRef::~CallRef() {
  if (call_ && call_->refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) call_->unreferenced();
}

// A unary method. Answers from handle() or later, through call->respond() or call->fail(), exactly
// once. Called on many loops at once.
class UnaryHandler {
 public:
  virtual ~UnaryHandler() = default;
  virtual void handle(CallRef call, Bytes request) = 0;
};

// The receiving half of one streaming call. All methods run on the call's loop; it is destroyed
// there when the call is over, never from inside one of its own methods.
class StreamReceiver {
 public:
  virtual ~StreamReceiver() = default;
  virtual void on_message(Bytes message) = 0;
  // The client will send no more. The server may go on sending.
  virtual void on_half_close() {}
  // The call is over without finish() having been called: reset by the client, connection lost, or
  // deadline passed (the status has been sent). Last call to this object.
  virtual void on_cancel() {}
  // The server is about to end. A stream that would go on until its client has enough ends now,
  // with an error that makes the client go elsewhere; the client has been told not to come back
  // here.
  virtual void on_drain() {}
  // pending_bytes() has fallen below the low-water mark (MethodOptions::low_water) after it had
  // been at or above it.
  virtual void on_writable() {}
};

// A streaming method of any of the three kinds. Called on many loops at once.
class StreamHandler {
 public:
  virtual ~StreamHandler() = default;
  // REQUIRES: returns a receiver. It may have failed the call already; then nothing is delivered.
  virtual std::unique_ptr<StreamReceiver> on_open(CallRef call) = 0;
};

struct MethodOptions {
  // A longer message is refused with errors::MessageTooLarge, also after decompression.
  // etcd: --max-request-bytes + 512 KiB (its grpcOverheadBytes).
  size_t max_request_bytes = 1536 * 1024 + 512 * 1024;
  // See StreamReceiver::on_writable.
  size_t low_water = 64 * 1024;
};

// How one call went, for metrics and logs. Valid during the call of the observer only.
struct CallSummary {
  absl::StatusCode code = absl::StatusCode::kOk;
  std::string_view text = {};  // of the error
  Duration elapsed{0};
  std::string_view remote = {};            // the client's address
  const MessageParts* response = nullptr;  // of a unary call that was answered, as it will be sent
};

// Sees every call to a registered method (grpc_server_* metrics, bytes in and out). Called on the
// call's loop: keep counters per loop, sum when read. Must be cheap.
class CallObserver {
 public:
  virtual ~CallObserver() = default;
  virtual void call_started(const ServerCall& call) = 0;
  // The message itself, decompressed, without framing.
  virtual void message_received(const ServerCall& call, const Bytes& message) = 0;
  virtual void message_sent(const ServerCall& call, const MessageParts& message) = 0;
  virtual void call_finished(const ServerCall& call, const CallSummary& summary) = 0;
};

// What a listener serves. Filled in before the listener starts, then read from all loops.
// The handlers are not owned.
class Router {
 public:
  Router();
  ~Router();
  Router(const Router&) = delete;
  Router& operator=(const Router&) = delete;

  // REQUIRES: `path` is "/service/Method" and not yet registered.
  void unary(std::string_view path, UnaryHandler* handler, MethodOptions options = {});
  void stream(std::string_view path, MethodKind kind, StreamHandler* handler,
              MethodOptions options = {});

  // Plain HTTP (net/http.h). `path` matches exactly; a prefix, which ends with a slash, matches the
  // longest way. An exact path goes before any prefix. A request for another form of a path ("//a",
  // "/a/./b", "/dir" for a prefix "/dir/") is sent to the right one, as by Go's ServeMux; one for
  // what is not there gets 404.
  void http(std::string_view path, HttpHandler* handler);
  void http(std::string_view path, HttpHandler* handler, const HttpOptions& options);
  void http_prefix(std::string_view prefix, HttpHandler* handler);
  void http_prefix(std::string_view prefix, HttpHandler* handler, const HttpOptions& options);
  void http_stream(std::string_view path, HttpStreamHandler* handler);
  void http_stream_prefix(std::string_view prefix, HttpStreamHandler* handler);
  // What begins with `from` is taken for what begins with `to`. Once.
  void http_alias(std::string_view from, std::string_view to);
  // Gets what leads to no handler, to answer it by http_elsewhere(). Without: that is the answer.
  void http_rest(HttpHandler* handler);
  HttpResponse http_elsewhere(const HttpRequest& request) const;

  // In order of index.
  const std::vector<const MethodInfo*>& methods() const;

  class Table;
  const Table& table() const { return *table_; }

 private:
  std::unique_ptr<Table> table_;
};

}  // namespace keelson::net
