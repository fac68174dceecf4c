// net/http2_stream.h
//
// Http2Stream is what a session knows of one open stream: a gRPC call (Http2Call) or a plain HTTP
// request (Http2Exchange). The head of the request is complete when it is made.
//
// Threads: the session's loop.

#pragma once

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <string_view>

#include "net/held_bytes.h"
#include "net/out_queue.h"

namespace keelson::net {

class Http2Session;

class Http2Stream {
 public:
  // Returns how many of the bytes the client may be given window for.
  virtual size_t on_data(std::string_view data) = 0;
  virtual void on_end_stream() = 0;
  // The server is about to end.
  virtual void on_drain() = 0;
  // A handler has the request and nothing of its answer waits for the client.
  virtual bool working() const = 0;
  // Its turn to be served has come (see Backlog), which has kept it: the object is there until it
  // is let go, the stream perhaps no more.
  virtual void go_on() = 0;
  virtual void keep() = 0;
  virtual void let_go() = 0;
  // The stream is no more; the session forgets it. Last call but from who keeps it.
  virtual void stream_closed() = 0;
  // What nghttp2 asks when the stream may send: how much, and whether that is the end.
  virtual ssize_t pull(size_t length, uint32_t* flags) = 0;
  // Moves `length` bytes, as pulled before, to `out`.
  virtual void write_data(size_t length, OutQueue* out) = 0;
  // What the request's head counts for.
  virtual size_t head_bytes() const = 0;
  // What else it holds of what has come in, and since when its end is wanted.
  virtual size_t held_incoming() const = 0;
  virtual MonotonicTime incoming_since() const { return opened_; }
  // What it holds of an answer.
  virtual size_t held_outgoing() const = 0;
  // The member needs the room.
  virtual void give_up(HeldSort sort) = 0;

  // For nghttp2: pulls from the stream that `source.ptr` points to.
  nghttp2_data_provider provider() {
    nghttp2_data_provider out;
    out.source.ptr = this;
    out.read_callback = [](nghttp2_session*, int32_t, uint8_t*, size_t length, uint32_t* flags,
                           nghttp2_data_source* source, void*) {
      return static_cast<Http2Stream*>(source->ptr)->pull(length, flags);
    };
    return out;
  }

 protected:
  ~Http2Stream() = default;

  friend class Http2Session;
  Http2Session* session_ = nullptr;
  int32_t id_ = 0;
  bool remote_done_ = false;  // END_STREAM seen
  MonotonicTime opened_{};
  HeldPace out_pace_;  // at which the client takes the answer; of no meaning when none waits

 private:
  // The session's list of open streams.
  Http2Stream* prev_ = nullptr;
  Http2Stream* next_ = nullptr;
};

// A header whose texts outlive the frame: nghttp2 need not copy them.
inline nghttp2_nv constant(std::string_view name, std::string_view value) {
  return {reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
          reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
          NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

// A header that nghttp2 copies. `indexed`: whether it is worth a place in the compression table.
inline nghttp2_nv copied(std::string_view name, std::string_view value, bool indexed = true) {
  nghttp2_nv nv = constant(name, value);
  nv.flags = indexed ? NGHTTP2_NV_FLAG_NONE : NGHTTP2_NV_FLAG_NO_INDEX;
  return nv;
}

}  // namespace keelson::net
