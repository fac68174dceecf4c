// net/http2_framing.h
//
// Http2Framing is HTTP/2 (RFC 9113) of a server's connection, without what is done on it: it takes
// frames apart, knows the streams and both sides' windows, and puts answers together. Header blocks
// are others' affair, in (header_decoder.h) and out (header_encoder.h).
//
// Order: what is about the connection goes first, then streams in turns, a frame of data each.
// Bounds: a frame of 16 KB comes in; header blocks have a number of frames; answers to settings and
//   pings, and resets by the client, have a number and a rate. Whatever waits to be said of streams
//   that were refused shows in urgent(): whoever reads the socket stops where the client does not.
// Errors: of the protocol's use, told to the client in a GOAWAY, after which nothing is read;
//   what is beyond an answer makes receive() false.
// Threads: the session's loop.
// Why not nghttp2 for all of it: decision 23.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/clock.h"
#include "net/header_decoder.h"
#include "net/header_encoder.h"
#include "net/http2_stream.h"
#include "net/out_queue.h"

namespace keelson::net {

// RFC 9113, 7.
enum class Http2Error : uint32_t {
  kNone = 0,
  kProtocol = 1,
  kInternal = 2,
  kFlowControl = 3,
  kStreamClosed = 5,
  kFrameSize = 6,
  kRefusedStream = 7,
  kCancel = 8,
  kCompression = 9,
  kEnhanceYourCalm = 11,
};

// What is done with what the frames say.
class Http2FramingUser {
 public:
  // A header block begins; the head is told by framing.head().
  virtual void head_began() = 0;
  virtual MonotonicTime now() = 0;
  // A frame is complete, and a header block if it was one of that.
  virtual void frame_ended() = 0;
  // A request's head, in framing.head(), to be taken or cleared. The stream is open if add() was
  // called before it returns, else it was reset.
  virtual void request(int32_t stream_id, bool end_stream) = 0;
  // `waiting` of the bytes that the stream got were not used yet.
  virtual void data_waits(size_t waiting) = 0;
  virtual void ping() = 0;
  virtual void ping_answered(std::string_view opaque) = 0;
  // The stream is no more: last call about it.
  virtual void stream_ended(Http2Stream* stream) = 0;

 protected:
  ~Http2FramingUser() = default;
};

class Http2Framing {
 public:
  struct Options {
    uint32_t max_streams;
    uint32_t stream_window;
    uint32_t connection_window;
    uint32_t max_header_bytes;
  };
  // Says the settings. `user` outlives it.
  Http2Framing(const Options& options, Http2FramingUser* user);
  ~Http2Framing();
  Http2Framing(const Http2Framing&) = delete;
  Http2Framing& operator=(const Http2Framing&) = delete;

  // False: there is nobody to talk to.
  bool receive(std::string_view bytes);
  void produce(OutQueue& out, size_t limit);
  bool wants_write() const { return !urgent_.empty() || (!over_ && next() != nullptr); }
  // Nothing that comes is looked at any more.
  bool over() const { return over_; }
  // Bytes about the connection, and of resets, that wait to be sent.
  size_t urgent() const { return urgent_.size(); }

  // ---- streams

  // Null: there is none that is open.
  Http2Stream* find(int32_t stream_id) const;
  // For request() only.
  void add(Http2Stream* stream, int32_t stream_id);
  // What is wrong with it counts as a reset by the client.
  void refuse(int32_t stream_id, Http2Error error);
  // The stream ends before anything else is said of it, but not within this call.
  void reset(Http2Stream* stream, Http2Error error);
  // Forgets the stream without a word.
  void forget(Http2Stream* stream);

  // The head of the answer, once; `has_body`: pull() is asked for the rest, else that was all.
  void answer_usual(Http2Stream* stream);  // of gRPC, with a body
  void answer(Http2Stream* stream, std::span<const HeaderField> fields, bool has_body);
  // From pull(): the trailers behind the body.
  void trail_usual(Http2Stream* stream) { stream->frames_.trailers = Block::kUsualTrailers; }
  void trail(Http2Stream* stream, std::span<const HeaderField> fields);
  // There may be something to pull.
  void resume(Http2Stream* stream);

  // What was received is used: the client may send as much again, on the stream, or in all.
  void used_of_stream(Http2Stream* stream, size_t bytes);
  void used_of_connection(size_t bytes);

  // ---- the connection

  // The request's head that is being read, or has just been.
  RequestHead& head() { return head_; }
  // What has come of a head that is not complete, unfolded or not.
  size_t unfinished_head() const;
  // A header block has begun, and not ended.
  bool in_block() const { return block_ != BlockSort::kNone || begins_block_; }

  void send_ping(std::string_view opaque);  // of 8 bytes
  // The client shall begin no more streams; those that cross this are served.
  void announce_end();
  // No stream later than the last one is served.
  void end();
  // As end(), and nothing is looked at any more.
  void expel(Http2Error error, std::string_view text);

 private:
  using Block = Http2Stream::Frames::Block;
  using Place = Http2Stream::Frames::Place;
  struct Frame {
    uint32_t length = 0;
    uint8_t type = 0;
    uint8_t flags = 0;
    int32_t stream = 0;
  };
  enum class Reading : uint8_t { kPreface, kFrameHead, kPayload, kData };
  // Whose header block it is.
  enum class BlockSort : uint8_t { kNone, kRequest, kTrailers, kIgnored };
  struct List {
    Http2Stream* first = nullptr;
    Http2Stream* last = nullptr;
  };

  // Input (http2_framing_in.cc). Each takes its part off `bytes`; false: more is needed, or it is
  // over.
  bool take_preface(std::string_view* bytes);
  bool take_frame_head(std::string_view* bytes);
  bool take_payload(std::string_view* bytes);
  bool take_data(std::string_view* bytes);
  void begin_frame();
  void begin_data();
  void end_data();
  void data(std::string_view bytes);
  void frame(std::string_view payload);
  void headers(std::string_view payload);
  void begin_block(BlockSort sort);
  void block_part(std::string_view part, bool end);
  void end_block();
  void settings(std::string_view payload);
  bool setting(uint16_t id, uint32_t value);
  void reset_by_client(std::string_view payload);
  void ping_frame(std::string_view payload);
  void window_update(std::string_view payload);
  // One more stream is to be reset because of the client, who may have so many. False: too many.
  bool may_reset();
  void reset_for_fault(Http2Stream* stream, Http2Error error);
  // To its settings, or a ping.
  void answer_client(uint8_t type, std::string_view payload);
  bool is_idle(int32_t stream_id) const { return stream_id > last_stream_ || stream_id % 2 == 0; }
  void fail(Http2Error error);

  // Output.
  void say(uint8_t type, uint8_t flags, int32_t stream, std::string_view payload);
  void say_goaway(int32_t last, Http2Error error, std::string_view text);
  void say_window(int32_t stream, size_t bytes);
  void say_reset(int32_t stream, Http2Error error);
  // The stream whose turn it is; null: none can send.
  Http2Stream* next() const;
  void send(Http2Stream* stream, OutQueue& out);
  void send_block(Http2Stream* stream, Block block, bool end, OutQueue& out);
  // True: the stream has ended with it.
  bool send_body(Http2Stream* stream, OutQueue& out);
  void ended_here(Http2Stream* stream);
  void close(Http2Stream* stream);
  int64_t window_of(const Http2Stream* stream) const {
    return client_window_ + stream->frames_.out_window;
  }
  List& list(Place place);
  void enlist(Http2Stream* stream, Place place);
  void unlist(Http2Stream* stream);

  const Options options_;
  Http2FramingUser& user_;
  HeaderDecoder decoder_;
  UsualBlocks usual_;

  // What comes in.
  Reading reading_ = Reading::kPreface;
  Frame frame_;
  std::string partial_;           // of what must be whole to be looked at; <= a frame
  bool padding_unknown_ = false;  // its length comes next
  size_t data_left_ = 0;          // of a frame of data, its padding not …
  size_t padding_left_ = 0;       // … and that
  bool first_frame_ = true;       // is still to come
  bool begins_block_ = false;     // the frame that is on its way
  BlockSort block_ = BlockSort::kNone;
  int32_t block_stream_ = 0;
  bool block_ends_stream_ = false;
  size_t block_frames_ = 0;
  RequestHead head_;
  int32_t last_stream_ = 0;          // the client has begun; only grows
  int32_t last_served_ = INT32_MAX;  // later ones are not looked at
  uint32_t in_taken_ = 0;            // of the connection's window, not given back …
  uint32_t in_used_ = 0;             // … although it is used: <= in_taken_
  uint32_t stream_window_;           // that a client may believe in
  double resets_left_;               // the client may do at once
  MonotonicTime resets_counted_;
  size_t answers_waiting_ = 0;  // to its settings and pings, in urgent_

  // What goes out.
  absl::flat_hash_map<int32_t, Http2Stream*> streams_;
  mutable Http2Stream* recent_ = nullptr;  // found last; null when it is no more
  std::string urgent_;
  List ready_, waiting_, blocked_;  // to send; for their own window, for the connection's
  int64_t client_window_ = 65535;   // of a new stream
  int64_t out_window_ = 65535;      // the connection's
  uint32_t client_frame_ = 16384;   // the longest that it takes
  bool over_ = false;
  bool gone_ = false;  // there is nobody to talk to
};

}  // namespace keelson::net
