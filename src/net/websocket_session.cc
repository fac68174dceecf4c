#include "net/websocket_session.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/endian.h"
#include "net/http_reply.h"
#include "net/pools.h"

namespace keelson::net {
namespace {

// Messages that one turn of the loop delivers.
constexpr int kMostInATurn = 64;
constexpr size_t kLongestControl = 125;

// A number of up to eight bytes.
uint64_t big_endian(std::string_view bytes) {
  char all[8] = {};
  bytes.copy(all + sizeof(all) - bytes.size(), bytes.size());
  return load_big64(all);
}

}  // namespace

WebSocketSession::WebSocketSession(ProtocolHost* host, size_t max_message_bytes,
                                   WebSocketOpener open)
    : host_(*host), max_message_(max_message_bytes), handle_(std::make_shared<WebSocket>()) {
  handle_->session_ = this;
  in_pace_.begin(host_.loop().now());
  receiver_ = open(handle_);
  CHECK(receiver_);
}

WebSocketSession::~WebSocketSession() { closed(); }

// ---- what comes in

bool WebSocketSession::receive(std::string_view bytes) {
  if (broken_) return false;
  if (closing_) return true;
  input_.append(bytes);
  in_pace_.move(bytes.size(), host_.loop().now());
  if (!more_) process();
  host_.wake();
  return !broken_;
}

bool WebSocketSession::input_full() const {
  return closing_ || more_ || !reading_ || pending() >= kHttpOutputHigh;
}

void WebSocketSession::process() {
  if (std::exchange(processing_, true)) return;
  more_ = false;
  int left = kMostInATurn;
  while (!closing_ && reading_ && left > 0 && step()) --left;
  if (left == 0 && used_ < input_.size()) go_on_later();
  input_.erase(0, std::exchange(used_, 0));
  if (input_.empty() && !in_message_) {
    empty_out(&input_, kRoomKept);
    in_pace_.begin(host_.loop().now());
  }
  processing_ = false;
  count();
}

void WebSocketSession::go_on_later() {
  more_ = true;
  host_.loop().post([handle = handle_] {
    WebSocketSession* session = handle->session_;
    if (!session || !session->more_) return;
    session->process();
    session->host_.wake();
  });
}

bool WebSocketSession::read_head(Frame* frame) {
  const std::string_view input = std::string_view(input_).substr(used_);
  if (input.size() < 2) return false;
  const auto first = static_cast<uint8_t>(input[0]);
  const auto second = static_cast<uint8_t>(input[1]);
  frame->fin = first & 0x80;
  frame->opcode = first & 0x0f;
  const bool control = frame->opcode >= kClose;
  const bool known = frame->opcode <= kBinary || (control && frame->opcode <= kPong);
  const bool begins = frame->opcode == kText || frame->opcode == kBinary;
  const bool in_order = control || begins != in_message_;
  uint64_t size = second & 0x7f;
  // No extension was agreed on, and a client masks what it sends.
  if ((first & 0x70) != 0 || (second & 0x80) == 0 || !known || !in_order ||
      (control && (!frame->fin || size > kLongestControl))) {
    close(WebSocket::kProtocolError);
    return false;
  }
  const size_t more = size == 126 ? 2 : size == 127 ? 8 : 0;
  frame->head = 2 + more + 4;
  if (input.size() < frame->head) return false;
  if (more > 0) size = big_endian(input.substr(2, more));
  if (size > max_message_ || message_.size() + size > max_message_) {
    close(WebSocket::kTooBig);
    return false;
  }
  frame->size = size;
  input.copy(frame->mask, 4, frame->head - 4);
  return true;
}

bool WebSocketSession::step() {
  Frame frame;
  if (!read_head(&frame)) return false;
  if (input_.size() - used_ < frame.head + frame.size) return false;
  std::string payload = input_.substr(used_ + frame.head, frame.size);
  used_ += frame.head + frame.size;
  for (size_t i = 0; i < payload.size(); ++i) {
    payload[i] = static_cast<char>(payload[i] ^ frame.mask[i % 4]);
  }
  if (frame.opcode >= kClose) {
    take_control(frame, payload);
  } else {
    take(frame, std::move(payload));
  }
  return true;
}

void WebSocketSession::take(const Frame& frame, std::string payload) {
  if (in_message_) {
    message_ += payload;
  } else {
    message_ = std::move(payload);
  }
  in_message_ = !frame.fin;
  if (in_message_) return;
  const Bytes message = Bytes::copy(message_);
  std::string().swap(message_);
  if (receiver_) receiver_->on_message(message);
}

void WebSocketSession::take_control(const Frame& frame, const std::string& payload) {
  if (frame.opcode == kClose) {
    // Said back, as the client had it.
    uint16_t code = WebSocket::kNormal;
    if (payload.size() == 1) code = WebSocket::kProtocolError;
    if (payload.size() >= 2) {
      code = static_cast<uint16_t>(big_endian({payload.data(), 2}));
    }
    return close(code);
  }
  // Who asks without reading is not answered.
  if (frame.opcode == kPing && pending() < kHttpOutputHigh) {
    queue_frame(kPong, true, MessageParts::copy(payload));
  }
}

void WebSocketSession::set_reading(bool on) {
  if (std::exchange(reading_, on) == on || !on || closing_ || more_) return;
  // Not from inside the caller: it may be in the middle of on_message().
  go_on_later();
}

// While messages are delivered, process() counts at its end.
void WebSocketSession::hold(size_t bytes) {
  if (std::exchange(receiver_holds_, bytes) != bytes && !closing_) count();
}

// ---- what goes out

void WebSocketSession::send(const MessageParts& piece, bool last) {
  if (closing_) return;
  const bool begins = !std::exchange(out_begun_, !last);
  queue_frame(begins ? kText : kContinue, last, piece);
}

void WebSocketSession::close(uint16_t code) {
  if (closing_) return;
  // Codes that are none on the wire.
  const bool sayable =
      code >= 1000 && code < 5000 && code != 1004 && code != 1005 && code != 1006 && code != 1015;
  if (!sayable) code = WebSocket::kProtocolError;
  const char text[2] = {static_cast<char>(code >> 8), static_cast<char>(code)};
  queue_frame(kClose, true, MessageParts::copy({text, 2}));
  closing_ = true;
  end_receiver();
}

void WebSocketSession::queue_frame(uint8_t opcode, bool fin, const MessageParts& payload) {
  char head[10];
  size_t length = 2;
  head[0] = static_cast<char>((fin ? 0x80 : 0) | opcode);
  const uint64_t size = payload.size();
  if (size < 126) {
    head[1] = static_cast<char>(size);
  } else {
    const size_t more = size < (1 << 16) ? 2 : 8;
    head[1] = static_cast<char>(more == 2 ? 126 : 127);
    char all[8];
    store_big64(all, size);
    std::memcpy(head + 2, all + sizeof(all) - more, more);
    length += more;
  }
  if (queued_ == 0) out_pace_.begin(host_.loop().now());
  queue(Bytes::copy({head, length}));
  for (const Bytes& part : payload.parts()) queue(part);
  if (pending() >= kHttpOutputHigh) was_full_ = true;
  count();
  host_.wake();
}

void WebSocketSession::queue(Bytes bytes) {
  queued_ += bytes.size();
  if (!bytes.empty()) out_.push_back(std::move(bytes));
}

void WebSocketSession::tell_drained() {
  CHECK(telling_);
  telling_ = false;
  if (pending() >= kHttpOutputHigh) return;  // the next time that some is taken
  was_full_ = false;
  if (receiver_) receiver_->on_writable();
}

bool WebSocketSession::produce(OutQueue& out, size_t limit) {
  if (broken_) return false;
  while (!out_.empty() && out.size() < limit) {
    const Bytes piece = std::move(out_.front());
    out_.pop_front();
    queued_ -= piece.size();
    out_pace_.move(piece.size(), host_.loop().now());
    out.append(piece, 0, piece.size());
  }
  count();
  // What is moved to `out` counts again when the socket does not take it.
  if (was_full_ && !telling_ && pending() < kHttpOutputHigh) {
    telling_ = true;
    host_.loop().post([handle = handle_] {
      if (handle->session_) handle->session_->tell_drained();
    });
  }
  return true;
}

// ---- the end

void WebSocketSession::drain() {
  if (receiver_) receiver_->on_drain();
}

bool WebSocketSession::finished() const { return broken_ || (closing_ && out_.empty()); }

void WebSocketSession::input_ended() {
  broken_ = true;
  end_receiver();
}

void WebSocketSession::closed() {
  broken_ = true;
  handle_->session_ = nullptr;
  end_receiver();
  input_.clear();
  message_.clear();
  out_.clear();
  used_ = queued_ = receiver_holds_ = 0;
  count();
}

void WebSocketSession::end_receiver() {
  if (!receiver_) return;
  std::unique_ptr<WebSocket::Receiver> receiver = std::move(receiver_);
  receiver->on_close();
  host_.loop().post([receiver = std::move(receiver)] {});
}

void WebSocketSession::each_held(HeldSort sort,
                                 absl::FunctionRef<void(const HeldItem&)> visit) const {
  if (sort == HeldSort::kOutgoing) {
    if (queued_ > 0) visit({HeldItem::kConnection, queued_, out_pace_.since});
  } else if (told_incoming_ > 0) {
    visit({HeldItem::kConnection, told_incoming_, in_pace_.since});
  }
}

void WebSocketSession::count() {
  const size_t out = queued_;
  host_.outgoing().change(std::exchange(told_outgoing_, out), out);
  if (processing_) return;
  const size_t in = input_.size() + message_.size() + receiver_holds_;
  if (!host_.incoming().change(std::exchange(told_incoming_, in), in) && !closing_) {
    close(WebSocket::kTryAgainLater);
    std::string().swap(input_);
    std::string().swap(message_);
    receiver_holds_ = 0;
    host_.incoming().change(std::exchange(told_incoming_, 0), 0);
  }
}

}  // namespace keelson::net
