// net/http2_stream.h
//
// Http2Stream is what a connection knows of one open stream: a gRPC call (Http2Call) or a plain
// HTTP request (Http2Exchange). The head of the request is complete when it is made.
//
// Threads: the session's loop.

#pragma once

#include <cstdint>
#include <string>
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

  // What of the body can go now, at most as much as was asked for.
  struct Pulled {
    size_t bytes = 0;
    enum class Then : uint8_t {
      kMore,  // there is more already
      kWait,  // not now: Http2Framing::resume() says when
      kEnd    // that is all; trailers, if any, have been given to Http2Framing::trail()
    } then = Then::kWait;
  };
  // Asked when the stream may send; with 0 whether there is anything to send.
  virtual Pulled pull(size_t most) = 0;
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

 protected:
  ~Http2Stream() = default;

  friend class Http2Session;
  friend class Http2Framing;
  Http2Session* session_ = nullptr;
  int32_t id_ = 0;
  bool remote_done_ = false;  // END_STREAM seen
  MonotonicTime opened_{};
  HeldPace out_pace_;  // at which the client takes the answer; of no meaning when none waits

 private:
  // What the framing knows of it, while it is open.
  struct Frames {
    enum class Block : uint8_t {
      kNone,
      kUsualHead,      // of an answer of gRPC
      kUsualTrailers,  // "grpc-status: 0"
      kEncoded         // `encoded`
    };
    enum class Place : uint8_t { kNowhere, kReady, kWindow, kConnectionWindow };

    Block head = Block::kNone;  // to be sent
    Block trailers = Block::kNone;
    Place place = Place::kNowhere;  // the list it is in
    bool answered = false;          // the head has been given
    bool has_body = false;          // to be pulled, still
    bool to_reset = false;
    uint32_t reset_code = 0;
    // What may be sent beyond the client's initial window; less than 0 once that is used.
    int64_t out_window = 0;
    uint32_t in_taken = 0;  // what has come and no window was given back for
    uint32_t in_used = 0;   // of that, what has been used: <= in_taken
    std::string encoded;
    Http2Stream* prev = nullptr;  // in its list
    Http2Stream* next = nullptr;
  };
  Frames frames_;

  // The session's list of open streams.
  Http2Stream* prev_ = nullptr;
  Http2Stream* next_ = nullptr;
};

}  // namespace keelson::net
