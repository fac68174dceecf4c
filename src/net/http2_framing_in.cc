// What comes in: frames are taken apart, and what they say is checked and done.

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/endian.h"
#include "net/http2_frames.h"
#include "net/http2_framing.h"

namespace keelson::net {
namespace {

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// A client may cancel as many calls as it likes within reason: etcd's clients cancel watches by the
// hundred. Past that it is an attack (CVE-2023-44487).
constexpr double kResetsPerSecond = 2000;

// Frames of 16 KB, as Go's clients cut a header block, up to the longest that is taken, and a few.
constexpr size_t kMostBlockFrames = 81;

// Of a client that does not read what it asks for.
constexpr size_t kMostAnswers = 1000;

uint32_t number(std::string_view four) { return load_big32(four.data()); }

// Without the bit that is reserved.
int32_t number31(std::string_view four) { return static_cast<int32_t>(number(four) & 0x7fffffff); }

}  // namespace

bool Http2Framing::receive(std::string_view bytes) {
  bool going = true;
  while (going && !over_ && !bytes.empty()) {
    switch (reading_) {
      case Reading::kPreface:
        going = take_preface(&bytes);
        break;
      case Reading::kFrameHead:
        going = take_frame_head(&bytes);
        break;
      case Reading::kPayload:
        going = take_payload(&bytes);
        break;
      case Reading::kData:
        going = take_data(&bytes);
        break;
    }
  }
  return !gone_;
}

void Http2Framing::fail(Http2Error error) {
  if (!over_) expel(error, {});
}

bool Http2Framing::take_preface(std::string_view* bytes) {
  const size_t at = partial_.size();
  CHECK(at < kPreface.size());
  const size_t n = std::min(bytes->size(), kPreface.size() - at);
  if (bytes->substr(0, n) != kPreface.substr(at, n)) {
    over_ = gone_ = true;
    return false;
  }
  partial_.append(*bytes, 0, n);
  bytes->remove_prefix(n);
  if (partial_.size() == kPreface.size()) {
    partial_.clear();
    reading_ = Reading::kFrameHead;
  }
  return true;
}

bool Http2Framing::take_frame_head(std::string_view* bytes) {
  std::string_view head;
  if (partial_.empty() && bytes->size() >= kFrameHead) {
    head = bytes->substr(0, kFrameHead);
    bytes->remove_prefix(kFrameHead);
  } else {
    const size_t n = std::min(bytes->size(), kFrameHead - partial_.size());
    partial_.append(*bytes, 0, n);
    bytes->remove_prefix(n);
    if (partial_.size() < kFrameHead) return false;
    head = partial_;
  }
  frame_.length = number(head.substr(0, 4)) >> 8;
  frame_.type = static_cast<uint8_t>(head[3]);
  frame_.flags = static_cast<uint8_t>(head[4]);
  frame_.stream = number31(head.substr(5));
  partial_.clear();
  begin_frame();
  return true;
}

void Http2Framing::begin_frame() {
  if (frame_.length > kLongestFrame) return fail(Http2Error::kFrameSize);
  const bool continues = frame_.type == kContinuation && frame_.stream == block_stream_;
  if (block_ != BlockSort::kNone ? !continues : frame_.type == kContinuation) {
    return fail(Http2Error::kProtocol);
  }
  if (std::exchange(first_frame_, false) && frame_.type != kSettings) {
    return fail(Http2Error::kProtocol);
  }
  if (frame_.type == kData) return begin_data();
  if (frame_.type == kHeaders) {
    begins_block_ = true;
    user_.head_began();
  }
  reading_ = Reading::kPayload;
  if (frame_.length == 0) frame({});
}

bool Http2Framing::take_payload(std::string_view* bytes) {
  if (partial_.empty() && bytes->size() >= frame_.length) {
    const std::string_view payload = bytes->substr(0, frame_.length);
    bytes->remove_prefix(frame_.length);
    frame(payload);
    return true;
  }
  CHECK(partial_.size() < frame_.length);
  const size_t n = std::min(bytes->size(), frame_.length - partial_.size());
  partial_.append(*bytes, 0, n);
  bytes->remove_prefix(n);
  if (partial_.size() < frame_.length) return false;
  const std::string payload = std::exchange(partial_, {});
  frame(payload);
  return true;
}

void Http2Framing::frame(std::string_view payload) {
  reading_ = Reading::kFrameHead;
  begins_block_ = false;
  switch (frame_.type) {
    case kHeaders:
      headers(payload);
      break;
    case kContinuation:
      block_part(payload, frame_.flags & kEndHeaders);
      break;
    case kPriority:  // nothing is done with it
      if (frame_.stream == 0) return fail(Http2Error::kProtocol);
      if (payload.size() != 5) return fail(Http2Error::kFrameSize);
      break;
    case kRstStream:
      reset_by_client(payload);
      break;
    case kSettings:
      settings(payload);
      break;
    case kPushPromise:
      return fail(Http2Error::kProtocol);
    case kPing:
      ping_frame(payload);
      break;
    case kGoaway:  // its streams go on
      if (frame_.stream != 0) return fail(Http2Error::kProtocol);
      if (payload.size() < 8) return fail(Http2Error::kFrameSize);
      break;
    case kWindowUpdate:
      window_update(payload);
      break;
    default:  // RFC 9113, 5.5: unknown ones are passed over
      break;
  }
  if (!over_ && block_ == BlockSort::kNone) user_.frame_ended();
}

// ---- header blocks

size_t Http2Framing::unfinished_head() const {
  size_t bytes = block_ == BlockSort::kRequest ? head_.bytes() : 0;
  if (in_block()) bytes += partial_.size() + decoder_.held();
  return bytes;
}

void Http2Framing::headers(std::string_view payload) {
  // In front of the block may stand how much is behind it, and a priority.
  const size_t before = (frame_.flags & kPadded ? 1 : 0) + (frame_.flags & kHasPriority ? 5 : 0);
  if (payload.size() < before) return fail(Http2Error::kFrameSize);
  const size_t padding = frame_.flags & kPadded ? static_cast<uint8_t>(payload[0]) : 0;
  payload.remove_prefix(before);
  if (padding > payload.size() || frame_.stream % 2 == 0) return fail(Http2Error::kProtocol);
  payload.remove_suffix(padding);
  BlockSort sort = BlockSort::kIgnored;
  if (frame_.stream > last_stream_) {
    last_stream_ = frame_.stream;
    const bool served = frame_.stream <= last_served_;
    if (served && streams_.size() < options_.max_streams) {
      sort = BlockSort::kRequest;
      head_.clear();
    } else if (served) {
      refuse(frame_.stream, Http2Error::kRefusedStream);
    }
  } else if (const Http2Stream* stream = find(frame_.stream)) {
    if (stream->remote_done_) return fail(Http2Error::kStreamClosed);
    sort = BlockSort::kTrailers;
  }
  CHECK(block_ == BlockSort::kNone);
  block_ = sort;
  block_stream_ = frame_.stream;
  block_ends_stream_ = frame_.flags & kEndStream;
  block_frames_ = 0;
  block_part(payload, frame_.flags & kEndHeaders);
}

void Http2Framing::block_part(std::string_view part, bool end) {
  const bool first = block_frames_ == 0;
  if (++block_frames_ > kMostBlockFrames) {
    over_ = gone_ = true;
    return;
  }
  RequestHead* const head = block_ == BlockSort::kRequest ? &head_ : nullptr;
  if (!decoder_.take(part, first, end, head)) return fail(Http2Error::kCompression);
  if (end) end_block();
}

void Http2Framing::end_block() {
  switch (std::exchange(block_, BlockSort::kNone)) {
    case BlockSort::kRequest:
      user_.request(block_stream_, block_ends_stream_);
      break;
    case BlockSort::kTrailers: {
      // Its answer may have gone out in between, and with that the stream.
      Http2Stream* const stream = find(block_stream_);
      if (!stream || stream->frames_.to_reset) break;
      // A second block of headers that is not the trailers.
      if (!block_ends_stream_) return reset_for_fault(stream, Http2Error::kProtocol);
      stream->remote_done_ = true;
      stream->on_end_stream();
      break;
    }
    case BlockSort::kIgnored:
    case BlockSort::kNone:
      break;
  }
}

// ---- data

void Http2Framing::begin_data() {
  if (is_idle(frame_.stream)) return fail(Http2Error::kProtocol);
  in_taken_ += frame_.length;
  if (in_taken_ > std::max(kUsualWindow, options_.connection_window)) {
    return fail(Http2Error::kFlowControl);
  }
  if (Http2Stream* stream = find(frame_.stream)) {
    if (stream->remote_done_) return fail(Http2Error::kStreamClosed);
    stream->frames_.in_taken += frame_.length;
    // An empty frame needs no window. There may be less than none: of what has come before the
    // client knew how little we take.
    if (frame_.length > 0 && stream->frames_.in_taken > stream_window_) {
      reset_for_fault(stream, Http2Error::kFlowControl);
    }
  }
  padding_unknown_ = frame_.flags & kPadded;
  if (padding_unknown_ && frame_.length == 0) return fail(Http2Error::kFrameSize);
  data_left_ = frame_.length;
  padding_left_ = 0;
  reading_ = Reading::kData;
  if (data_left_ == 0) end_data();
}

bool Http2Framing::take_data(std::string_view* bytes) {
  if (std::exchange(padding_unknown_, false)) {
    const auto padding = static_cast<uint8_t>(bytes->front());
    bytes->remove_prefix(1);
    if (padding > --data_left_) {
      fail(Http2Error::kProtocol);
      return false;
    }
    data_left_ -= padding;
    padding_left_ = padding;
    // Nobody reads it.
    used_of_connection(1 + size_t{padding});
    if (Http2Stream* stream = find(frame_.stream)) used_of_stream(stream, 1 + size_t{padding});
  }
  if (const size_t n = std::min(bytes->size(), data_left_); n > 0) {
    data_left_ -= n;
    const std::string_view chunk = bytes->substr(0, n);
    bytes->remove_prefix(n);
    data(chunk);
  }
  const size_t n = std::min(bytes->size(), padding_left_);
  padding_left_ -= n;
  bytes->remove_prefix(n);
  if (data_left_ > 0 || padding_left_ > 0) return false;
  end_data();
  return true;
}

void Http2Framing::data(std::string_view bytes) {
  Http2Stream* const stream = find(frame_.stream);
  if (!stream || stream->frames_.to_reset) return used_of_connection(bytes.size());
  const size_t used = stream->on_data(bytes);
  CHECK(used <= bytes.size());
  used_of_stream(stream, used);
  used_of_connection(used);
  if (used < bytes.size()) user_.data_waits(bytes.size() - used);
}

void Http2Framing::end_data() {
  reading_ = Reading::kFrameHead;
  Http2Stream* const stream = frame_.flags & kEndStream ? find(frame_.stream) : nullptr;
  if (stream) stream->remote_done_ = true;
  if (stream && !stream->frames_.to_reset) stream->on_end_stream();
  user_.frame_ended();
}

void Http2Framing::used_of_stream(Http2Stream* stream, size_t bytes) {
  Http2Stream::Frames& f = stream->frames_;
  f.in_used = std::min(f.in_taken, f.in_used + static_cast<uint32_t>(bytes));
  // What is left of the request has come, or is on its way with this frame.
  if (stream->remote_done_ || f.to_reset || f.in_used < options_.stream_window / 2) return;
  if (f.in_used == 0) return;
  f.in_taken -= f.in_used;
  say_window(stream->id_, std::exchange(f.in_used, 0));
}

void Http2Framing::used_of_connection(size_t bytes) {
  in_used_ = std::min(in_taken_, in_used_ + static_cast<uint32_t>(bytes));
  if (in_used_ == 0 || in_used_ < options_.connection_window / 2) return;
  in_taken_ -= in_used_;
  say_window(0, std::exchange(in_used_, 0));
}

// ---- about the connection, and about streams

void Http2Framing::answer_client(uint8_t type, std::string_view payload) {
  say(type, kAck, 0, payload);
  if (++answers_waiting_ > kMostAnswers) over_ = gone_ = true;
}

void Http2Framing::settings(std::string_view payload) {
  if (frame_.stream != 0) return fail(Http2Error::kProtocol);
  if (frame_.flags & kAck) {
    if (!payload.empty()) return fail(Http2Error::kFrameSize);
    stream_window_ = options_.stream_window;
    return;
  }
  if (payload.size() % 6 != 0) return fail(Http2Error::kFrameSize);
  for (; !payload.empty(); payload.remove_prefix(6)) {
    const auto id = static_cast<uint16_t>(number(payload.substr(0, 4)) >> 16);
    if (!setting(id, number(payload.substr(2, 4)))) return;
  }
  answer_client(kSettings, {});
}

bool Http2Framing::setting(uint16_t id, uint32_t value) {
  switch (id) {
    case kHeaderTableSize:
      usual_.limit_table(value);
      return true;
    case kEnablePush:
      if (value > 1) fail(Http2Error::kProtocol);
      break;
    case kInitialWindowSize: {
      if (value > INT32_MAX) {
        fail(Http2Error::kFlowControl);
        break;
      }
      const bool grows = value > client_window_;
      client_window_ = value;
      if (!grows) break;
      while (Http2Stream* stream = waiting_.first) {
        unlist(stream);
        enlist(stream, Place::kReady);
      }
      break;
    }
    case kMaxFrameSize:
      if (value < kLongestFrame || value > 0xffffff) {
        fail(Http2Error::kProtocol);
        break;
      }
      client_frame_ = value;
      break;
    default:
      break;
  }
  return !over_;
}

bool Http2Framing::may_reset() {
  const MonotonicTime now = user_.now();
  const std::chrono::duration<double> passed = now - std::exchange(resets_counted_, now);
  resets_left_ = std::min(kResetBurst, resets_left_ + passed.count() * kResetsPerSecond);
  if (resets_left_ < 1) {
    fail(Http2Error::kEnhanceYourCalm);
    return false;
  }
  resets_left_ -= 1;
  return true;
}

// Who has us reset what it began does no less than who does it himself (CVE-2025-8671).
void Http2Framing::reset_for_fault(Http2Stream* stream, Http2Error error) {
  if (!stream->frames_.to_reset && may_reset()) reset(stream, error);
}

void Http2Framing::reset_by_client(std::string_view payload) {
  if (is_idle(frame_.stream)) return fail(Http2Error::kProtocol);
  if (payload.size() != 4) return fail(Http2Error::kFrameSize);
  if (!may_reset()) return;
  if (Http2Stream* stream = find(frame_.stream)) close(stream);
}

void Http2Framing::ping_frame(std::string_view payload) {
  if (frame_.stream != 0) return fail(Http2Error::kProtocol);
  if (payload.size() != 8) return fail(Http2Error::kFrameSize);
  if (frame_.flags & kAck) return user_.ping_answered(payload);
  answer_client(kPing, payload);
  user_.ping();
}

void Http2Framing::window_update(std::string_view payload) {
  if (payload.size() != 4) return fail(Http2Error::kFrameSize);
  const int32_t more = number31(payload);
  if (frame_.stream == 0) {
    if (more == 0) return fail(Http2Error::kProtocol);
    out_window_ += more;
    if (out_window_ > INT32_MAX) fail(Http2Error::kFlowControl);
    return;
  }
  if (is_idle(frame_.stream)) return fail(Http2Error::kProtocol);
  Http2Stream* const stream = find(frame_.stream);
  if (!stream) return;
  if (more == 0) return reset_for_fault(stream, Http2Error::kProtocol);
  stream->frames_.out_window += more;
  if (window_of(stream) > INT32_MAX) return reset_for_fault(stream, Http2Error::kFlowControl);
  if (stream->frames_.place == Place::kWindow && window_of(stream) > 0) {
    unlist(stream);
    enlist(stream, Place::kReady);
  }
}

}  // namespace keelson::net
