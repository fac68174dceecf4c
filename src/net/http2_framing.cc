#include "net/http2_framing.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/endian.h"
#include "net/http2_frames.h"
#include "net/pools.h"

namespace keelson::net {
namespace {

// Of one stream before the others have their turn.
constexpr int64_t kMostData = 64 << 10;

// An empty table of streams keeps its room up to so many.
constexpr size_t kStreamsKept = 256;

void put_frame_head(char* out, size_t length, uint8_t type, uint8_t flags, int32_t stream) {
  store_big32(out, static_cast<uint32_t>(length) << 8);
  out[3] = static_cast<char>(type);
  out[4] = static_cast<char>(flags);
  store_big32(out + 5, static_cast<uint32_t>(stream));
}

void put_setting(std::string* out, uint16_t id, uint32_t value) {
  char entry[6] = {static_cast<char>(id >> 8), static_cast<char>(id)};
  store_big32(entry + 2, value);
  out->append(entry, sizeof entry);
}

}  // namespace

Http2Framing::Http2Framing(const Options& options, Http2FramingUser* user)
    : options_(options),
      user_(*user),
      decoder_(options.max_header_bytes),
      stream_window_(std::max(kUsualWindow, options.stream_window)),
      resets_left_(kResetBurst),
      resets_counted_(user->now()) {
  std::string entries;
  put_setting(&entries, kMaxConcurrentStreams, options.max_streams);
  put_setting(&entries, kInitialWindowSize, options.stream_window);
  put_setting(&entries, kMaxHeaderListSize, options.max_header_bytes);
  put_setting(&entries, kNoRfc7540Priorities, 1);
  say(kSettings, 0, 0, entries);
  if (options.connection_window > kUsualWindow) {
    say_window(0, options.connection_window - kUsualWindow);
  }
}

Http2Framing::~Http2Framing() { CHECK(streams_.empty()); }

// ---- streams

Http2Stream* Http2Framing::find(int32_t stream_id) const {
  if (recent_ && recent_->id_ == stream_id) return recent_;
  auto found = streams_.find(stream_id);
  if (found == streams_.end()) return nullptr;
  return recent_ = found->second;
}

void Http2Framing::add(Http2Stream* stream, int32_t stream_id) {
  CHECK(stream->id_ == stream_id && stream_id <= last_stream_);
  stream->frames_ = {};
  CHECK(streams_.emplace(stream_id, stream).second);
  recent_ = stream;
}

void Http2Framing::forget(Http2Stream* stream) {
  unlist(stream);
  if (recent_ == stream) recent_ = nullptr;
  CHECK(streams_.erase(stream->id_) == 1);
  std::string().swap(stream->frames_.encoded);
  if (streams_.empty() && streams_.capacity() > kStreamsKept) streams_.rehash(0);
}

void Http2Framing::close(Http2Stream* stream) {
  forget(stream);
  user_.stream_ended(stream);
}

void Http2Framing::refuse(int32_t stream_id, Http2Error error) {
  if (error != Http2Error::kRefusedStream && !may_reset()) return;
  say_reset(stream_id, error);
}

void Http2Framing::reset(Http2Stream* stream, Http2Error error) {
  if (std::exchange(stream->frames_.to_reset, true)) return;
  stream->frames_.reset_code = static_cast<uint32_t>(error);
  unlist(stream);
  enlist(stream, Place::kReady);
}

Http2Framing::List& Http2Framing::list(Place place) {
  CHECK(place != Place::kNowhere);
  return place == Place::kReady ? ready_ : place == Place::kWindow ? waiting_ : blocked_;
}

void Http2Framing::enlist(Http2Stream* stream, Place place) {
  CHECK(stream->frames_.place == Place::kNowhere);
  List& to = list(place);
  stream->frames_.place = place;
  stream->frames_.next = nullptr;
  stream->frames_.prev = to.last;
  (to.last ? to.last->frames_.next : to.first) = stream;
  to.last = stream;
}

void Http2Framing::unlist(Http2Stream* stream) {
  Http2Stream::Frames& f = stream->frames_;
  if (f.place == Place::kNowhere) return;
  List& from = list(std::exchange(f.place, Place::kNowhere));
  (f.prev ? f.prev->frames_.next : from.first) = f.next;
  (f.next ? f.next->frames_.prev : from.last) = f.prev;
  f.prev = f.next = nullptr;
}

// ---- answers

void Http2Framing::answer_usual(Http2Stream* stream) {
  Http2Stream::Frames& f = stream->frames_;
  CHECK(!f.answered);
  f.answered = f.has_body = true;
  f.head = Block::kUsualHead;
  if (f.place == Place::kNowhere) enlist(stream, Place::kReady);
}

void Http2Framing::answer(Http2Stream* stream, std::span<const HeaderField> fields, bool has_body) {
  Http2Stream::Frames& f = stream->frames_;
  CHECK(!f.answered);
  f.answered = true;
  f.has_body = has_body;
  f.head = Block::kEncoded;
  f.encoded = encode_fields(fields);
  if (f.place == Place::kNowhere) enlist(stream, Place::kReady);
}

void Http2Framing::trail(Http2Stream* stream, std::span<const HeaderField> fields) {
  CHECK(stream->frames_.head == Block::kNone);
  stream->frames_.trailers = Block::kEncoded;
  stream->frames_.encoded = encode_fields(fields);
}

void Http2Framing::resume(Http2Stream* stream) {
  const Http2Stream::Frames& f = stream->frames_;
  if (f.has_body && f.place == Place::kNowhere) enlist(stream, Place::kReady);
}

// ---- output

void Http2Framing::say(uint8_t type, uint8_t flags, int32_t stream, std::string_view payload) {
  char head[kFrameHead];
  put_frame_head(head, payload.size(), type, flags, stream);
  urgent_.append(head, sizeof head).append(payload);
}

void Http2Framing::say_window(int32_t stream, size_t bytes) {
  CHECK(bytes > 0 && bytes <= INT32_MAX);
  char more[4];
  store_big32(more, static_cast<uint32_t>(bytes));
  say(kWindowUpdate, 0, stream, {more, sizeof more});
}

void Http2Framing::say_reset(int32_t stream, Http2Error error) {
  char code[4];
  store_big32(code, static_cast<uint32_t>(error));
  say(kRstStream, 0, stream, {code, sizeof code});
}

void Http2Framing::say_goaway(int32_t last, Http2Error error, std::string_view text) {
  char head[8];
  store_big32(head, static_cast<uint32_t>(last));
  store_big32(head + 4, static_cast<uint32_t>(error));
  std::string payload(head, sizeof head);
  payload.append(text);
  say(kGoaway, 0, 0, payload);
}

void Http2Framing::send_ping(std::string_view opaque) {
  CHECK(opaque.size() == 8);
  say(kPing, 0, 0, opaque);
}

void Http2Framing::announce_end() { say_goaway(INT32_MAX, Http2Error::kNone, {}); }

void Http2Framing::end() {
  last_served_ = last_stream_;
  say_goaway(last_served_, Http2Error::kNone, {});
}

void Http2Framing::expel(Http2Error error, std::string_view text) {
  say_goaway(std::min(last_stream_, last_served_), error, text);
  over_ = true;
}

// Those that waited for the connection's window come first.
Http2Stream* Http2Framing::next() const {
  return blocked_.first && out_window_ > 0 ? blocked_.first : ready_.first;
}

void Http2Framing::produce(OutQueue& out, size_t limit) {
  while (out.size() < limit) {
    if (!urgent_.empty()) {
      out.append(urgent_);
      empty_out(&urgent_, kRoomKept);
      answers_waiting_ = 0;
      continue;
    }
    Http2Stream* const stream = over_ ? nullptr : next();
    if (!stream) return;
    unlist(stream);
    send(stream, out);
  }
}

void Http2Framing::send(Http2Stream* stream, OutQueue& out) {
  Http2Stream::Frames& f = stream->frames_;
  if (f.to_reset) {
    say_reset(stream->id_, static_cast<Http2Error>(f.reset_code));
    return close(stream);
  }
  if (f.head != Block::kNone) {
    send_block(stream, std::exchange(f.head, Block::kNone), !f.has_body, out);
    if (!f.has_body) return ended_here(stream);
  }
  if (f.has_body && send_body(stream, out)) ended_here(stream);
}

bool Http2Framing::send_body(Http2Stream* stream, OutQueue& out) {
  Http2Stream::Frames& f = stream->frames_;
  // By the client's settings, which no stream was asked about (RFC 9113, 6.9.2).
  if (window_of(stream) > INT32_MAX) {
    fail(Http2Error::kFlowControl);
    return false;
  }
  const int64_t most = std::max<int64_t>(
      0, std::min({kMostData, int64_t{client_frame_}, window_of(stream), out_window_}));
  const Http2Stream::Pulled pulled = stream->pull(static_cast<size_t>(most));
  CHECK(pulled.bytes <= static_cast<size_t>(most));
  const bool ends = pulled.then == Http2Stream::Pulled::Then::kEnd;
  const bool last = ends && f.trailers == Block::kNone;
  if (pulled.bytes > 0 || last) {
    char head[kFrameHead];
    put_frame_head(head, pulled.bytes, kData, last ? kEndStream : 0, stream->id_);
    out.append({head, sizeof head});
    f.out_window -= static_cast<int64_t>(pulled.bytes);
    out_window_ -= static_cast<int64_t>(pulled.bytes);
    if (pulled.bytes > 0) stream->write_data(pulled.bytes, &out);
  }
  if (ends) {
    f.has_body = false;
    if (!last) send_block(stream, std::exchange(f.trailers, Block::kNone), true, out);
    return true;
  }
  if (pulled.then == Http2Stream::Pulled::Then::kMore && f.place == Place::kNowhere) {
    enlist(stream, pulled.bytes > 0         ? Place::kReady
                   : window_of(stream) <= 0 ? Place::kWindow
                                            : Place::kConnectionWindow);
  }
  return false;
}

void Http2Framing::send_block(Http2Stream* stream, Block block, bool end, OutQueue& out) {
  Http2Stream::Frames& f = stream->frames_;
  CHECK(block != Block::kNone);
  std::string whole;
  std::string_view left = block == Block::kUsualHead       ? usual_.head()
                          : block == Block::kUsualTrailers ? usual_.trailers()
                                                           : std::string_view(f.encoded);
  if (std::string_view first = usual_.begin(); !first.empty()) {
    whole.append(first).append(left);
    left = whole;
  }
  uint8_t type = kHeaders;
  uint8_t flags = end ? kEndStream : 0;
  do {
    const std::string_view part = left.substr(0, client_frame_);
    left.remove_prefix(part.size());
    if (left.empty()) flags |= kEndHeaders;
    char frame[kFrameHead + UsualBlocks::kMost];
    put_frame_head(frame, part.size(), type, flags, stream->id_);
    if (part.size() <= UsualBlocks::kMost) {
      std::memcpy(frame + kFrameHead, part.data(), part.size());
      out.append({frame, kFrameHead + part.size()});
    } else {
      out.append({frame, kFrameHead});
      out.append(part);
    }
    type = kContinuation;
    flags = 0;
  } while (!left.empty());
  if (block == Block::kEncoded) std::string().swap(f.encoded);
}

// An answer that ended before the request did: the client may stop sending.
void Http2Framing::ended_here(Http2Stream* stream) {
  if (!stream->remote_done_) say_reset(stream->id_, Http2Error::kNone);
  close(stream);
}

}  // namespace keelson::net
