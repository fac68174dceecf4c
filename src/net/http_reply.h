// net/http_reply.h
//
// The half of HttpReply that HTTP/1 and HTTP/2 share: who may answer when, and what becomes of an
// answer that nobody gives. The other half, how an answer looks on the wire, is an HttpSink.
//
// Threads and lifetime: as net/http.h says of HttpReply.

#pragma once

#include <memory>
#include <string>
#include <utility>

#include "net/http.h"

namespace keelson::net {

// What carries one answer to its client.
class HttpSink {
 public:
  virtual void write_head(HttpResponse& response, bool length_known) = 0;
  virtual void write_piece(const MessageParts& piece) = 0;
  // The answer is complete. The sink knows of the reply no more.
  virtual void complete() = 0;
  virtual void abort() = 0;
  // Between the two the request's body is not delivered. resume_body() comes from a task of its
  // own.
  virtual void pause_body() = 0;
  virtual void resume_body() = 0;
  // So much of the body the handler keeps. May come from inside of the body's delivery.
  virtual void hold(size_t bytes) = 0;
  // See HttpReply. When true, the sink knows of the reply no more.
  virtual bool upgrade(HttpResponse& head, ProtocolFactory make) = 0;
  // Bytes written that the socket has not taken.
  virtual size_t pending() const = 0;
  // Whether pending() is still low when the handler is to hear so; else the sink tells again.
  virtual bool has_drained() { return true; }

 protected:
  ~HttpSink() = default;
};

// The sink holds it while the request runs; the handler holds a handle whose end, without an
// answer, is an answer too.
class SinkReply final : public HttpReply, public std::enable_shared_from_this<SinkReply> {
 public:
  SinkReply(Loop* loop, HttpSink* sink) : HttpReply(loop), sink_(sink) {}
  static HttpReplyRef handle_for(std::shared_ptr<SinkReply> reply);

  void send(HttpResponse response) override;
  void begin(HttpResponse response) override;
  void write(MessageParts piece) override;
  void end() override;
  void set_reading(bool on) override;
  void hold(size_t bytes) override {
    if (sink_) sink_->hold(bytes);
  }
  void abort() override;
  bool upgrade(HttpResponse head, ProtocolFactory make) override;
  size_t pending_bytes() const override { return sink_ ? sink_->pending() : 0; }
  void on_writable(Task task) override { writable_ = std::move(task); }
  void on_gone(Task task) override {
    if (sink_) gone_ = std::move(task);
  }
  void on_drain(Task task) override {
    if (sink_) drain_ = std::move(task);
  }

  // From the sink: the client has gone; the server is about to end; pending() has fallen.
  void detach();
  void draining() {
    if (Task task = std::exchange(drain_, nullptr)) task();
  }
  void writable() {
    if (sink_ && sink_->has_drained() && writable_) writable_();
  }

 private:
  void done();
  void abandoned();

  HttpSink* sink_;  // null: over
  bool begun_ = false;
  bool reading_ = true;  // what set_reading() said last
  Task writable_;
  Task gone_;
  Task drain_;
};

// pending() above this is much.
inline constexpr size_t kHttpOutputHigh = 64 << 10;

// "Sun, 06 Nov 1994 08:49:37 GMT", now.
std::string http_date();
bool has_field(const HttpResponse& response, std::string_view name);
// An answer with this status has no body.
inline bool is_bodiless(int status) { return status == 204 || status == 304 || status < 200; }
HttpResponse not_found();

}  // namespace keelson::net
