#include "net/http2_exchange.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "base/check.h"
#include "base/text.h"
#include "net/http2_session.h"

namespace keelson::net {
namespace {

// Fields that are about a connection, which HTTP/2 forbids.
bool is_of_connection(std::string_view lower_name) {
  return lower_name == "connection" || lower_name == "keep-alive" || lower_name == "upgrade" ||
         lower_name == "proxy-connection" || lower_name == "transfer-encoding";
}

// What an answer that waits costs beside its bytes, about: its stream and itself.
constexpr size_t kExchangeCost = 1024;

constexpr int kTooManyRequests = 429;

std::string lower(std::string_view name) { return absl::AsciiStrToLower(to_absl(name)); }

}  // namespace

Http2Exchange::Http2Exchange(Http2Session* session, int32_t stream_id, const RequestHead& head,
                             HttpRequest request, const HttpEntry* entry)
    : entry_(entry),
      head_bytes_(head.bytes()),
      request_(std::move(request)),
      to_head_(head.known(RequestHead::kMethod) == "HEAD") {
  session_ = session;
  id_ = stream_id;
  request_.fields.push_back({"Host", std::string(head.authority())});
  if (head.has(RequestHead::kContentType)) {
    request_.fields.push_back({"Content-Type", std::string(head.known(RequestHead::kContentType))});
  }
  head.each([this](std::string_view name, std::string_view value) {
    request_.fields.push_back({std::string(name), std::string(value)});
  });
  request_.peer = session->host_.peer();
}

void Http2Exchange::begin(bool end_stream) {
  reply_ = std::make_shared<SinkReply>(&session_->host_.loop(), static_cast<HttpSink*>(this));
  handle_ = SinkReply::handle_for(reply_);
  for (const HttpField& field : request_.fields) {
    if (is_of_connection(field.name)) return refuse(400);
  }
  uint64_t length = 0;
  if (std::string_view text = request_.field("content-length"); !text.empty()) {
    if (!absl::SimpleAtoi(to_absl(text), &length)) return refuse(400);
    declared_ = length;
  }
  if (entry_->stream) {
    receiver_ = entry_->stream->on_open(std::move(request_), std::exchange(handle_, nullptr));
  } else if (!entry_->options.ignores_body && length > entry_->options.max_body_bytes) {
    return refuse(413);
  }
  if (end_stream) on_end_stream();
}

size_t Http2Exchange::on_data(std::string_view data) {
  if (answered_ || dropping_) return data.size();
  if (data.size() > declared_) {
    reset(Http2Error::kProtocol);  // as Go's server
    return data.size();
  }
  if (declared_ != UINT64_MAX) declared_ -= data.size();
  if (entry_->stream) {
    if (body_paused_ || !unread_.empty()) {
      unread_.append(data);
      count_incoming(unread_.size());
      return 0;
    }
    if (receiver_) receiver_->on_body(Bytes::copy(data));
  } else if (!entry_->options.ignores_body) {
    if (body_.size() + data.size() > entry_->options.max_body_bytes) {
      refuse(413);
    } else if (!count_incoming(body_.size() + data.size())) {
      refuse(kTooManyRequests);
    } else {
      body_.append(data);
    }
  }
  return data.size();
}

void Http2Exchange::resume_body() {
  body_paused_ = false;
  if (!unread_.empty()) {
    const std::string data = std::exchange(unread_, {});
    count_incoming(0);
    if (receiver_ && !answered_) receiver_->on_body(Bytes::copy(data));
    if (!session_) return;
    session_->framing_.used_of_stream(this, data.size());
    session_->used(data.size());
    session_->host_.wake();
  }
  if (remote_done_) on_end_stream();
}

void Http2Exchange::on_end_stream() {
  remote_done_ = true;
  if (body_paused_ || !unread_.empty()) return;
  if (std::exchange(delivered_, true)) return;
  if (entry_->stream) {
    if (receiver_) receiver_->on_end();
    return;
  }
  if (answered_) return;
  serve_in_turn();
}

void Http2Exchange::serve_in_turn() {
  if (session_->backlog_->must_wait()) return session_->backlog_->add(this);
  serve();
}

void Http2Exchange::serve() {
  HttpReplyRef reply = std::exchange(handle_, nullptr);
  request_.body = Bytes::copy(std::exchange(body_, {}));
  count_incoming(0);
  entry_->handler->handle(std::move(request_), std::move(reply));
}

void Http2Exchange::go_on() {
  if (session_ && !dropping_) serve();
}

// The end does not wait for those whose turn has not come. Their clients know that nothing was
// done.
void Http2Exchange::on_drain() {
  if (kept_ && handle_) return reset(Http2Error::kRefusedStream);
  if (auto reply = reply_) reply->draining();
}

void Http2Exchange::keep() {
  CHECK(!kept_);
  kept_ = true;
}

void Http2Exchange::let_go() {
  kept_ = false;
  if (!session_) delete this;
}

bool Http2Exchange::count_incoming(size_t bytes) {
  const size_t after = bytes + handler_holds_;
  return session_->incoming_.change(std::exchange(told_incoming_, after), after);
}

void Http2Exchange::count_outgoing(size_t bytes) {
  const size_t before = std::exchange(told_outgoing_, bytes);
  session_->outgoing_.change(before, bytes);
}

void Http2Exchange::hold(size_t bytes) {
  if (std::exchange(handler_holds_, bytes) == bytes || dropping_) return;
  if (!count_incoming(unread_.size() + body_.size())) reset(Http2Error::kEnhanceYourCalm);
}

void Http2Exchange::stream_closed() {
  session_->used(unread_.size());
  handler_holds_ = 0;
  count_incoming(0);
  count_outgoing(0);
  session_ = nullptr;
  handle_.reset();
  if (reply_) std::exchange(reply_, nullptr)->detach();
  if (receiver_ && !delivered_) receiver_->on_abort();
  if (!kept_) delete this;
}

// ---- the answer

void Http2Exchange::refuse(int status) {
  HttpResponse response;
  response.status = status;
  std::exchange(handle_, nullptr)->send(std::move(response));
}

void Http2Exchange::write_head(HttpResponse& response, bool length_known) {
  if (!session_->outgoing_.admits(kExchangeCost + response.body.size())) {
    response = HttpResponse();
    response.status = kTooManyRequests;
    dropping_ = true;
  }
  const bool no_body = to_head_ || is_bodiless(response.status);
  whole_ = length_known;
  bodiless_ = no_body || dropping_ || (length_known && response.body.size() == 0);
  std::vector<std::pair<std::string, std::string>> fields = {{":status", cat(response.status)}};
  for (HttpField& field : response.fields) {
    std::string name = lower(field.name);
    std::replace(field.value.begin(), field.value.end(), '\n', ' ');
    std::replace(field.value.begin(), field.value.end(), '\r', ' ');
    if (!is_of_connection(name)) fields.emplace_back(std::move(name), std::move(field.value));
  }
  if (!has_field(response, "Date")) fields.emplace_back("date", http_date());
  if (length_known && !is_bodiless(response.status) && !has_field(response, "Content-Length")) {
    fields.emplace_back("content-length", cat(response.body.size()));
  }
  std::vector<HeaderField> views;
  for (const auto& [name, value] : fields) views.push_back({name, value});
  session_->forgive_ping_ = true;
  session_->framing_.answer(this, views, !bodiless_);
  session_->host_.wake();
}

void Http2Exchange::write_piece(const MessageParts& piece) {
  if (bodiless_ || dropping_) return;
  if (!whole_ && !session_->outgoing_.admits(piece.size())) return abort();
  if (queued_ == 0) out_pace_.begin(session_->loop_.now());
  for (const Bytes& part : piece.parts()) {
    if (part.size() == 0) continue;
    queued_ += part.size();
    out_.push_back(part);
  }
  if (queued_ > 0) count_outgoing(queued_ + kExchangeCost);
  if (pending() >= kHttpOutputHigh) was_full_ = true;
  resume();
}

void Http2Exchange::complete() {
  answered_ = true;
  reply_.reset();
  body_paused_ = false;
  if (!unread_.empty()) {
    session_->framing_.used_of_stream(this, unread_.size());
    session_->used(unread_.size());
    std::string().swap(unread_);
  }
  std::string().swap(body_);
  handler_holds_ = 0;
  count_incoming(0);
  resume();
}

void Http2Exchange::abort() { reset(Http2Error::kInternal); }

void Http2Exchange::reset(Http2Error error) {
  dropping_ = true;
  session_->framing_.reset(this, error);
  session_->host_.wake();
}

void Http2Exchange::give_up(HeldSort sort) {
  if (sort == HeldSort::kOutgoing || !handle_) return reset(Http2Error::kEnhanceYourCalm);
  refuse(kTooManyRequests);
}

void Http2Exchange::resume() {
  session_->framing_.resume(this);
  session_->host_.wake();
}

size_t Http2Exchange::pending() const { return queued_ + session_->host_.unsent(); }

Http2Stream::Pulled Http2Exchange::pull(size_t most) {
  const size_t n = std::min(most, queued_);
  if (n == queued_ && answered_) return {n, Pulled::Then::kEnd};
  return {n, n < queued_ ? Pulled::Then::kMore : Pulled::Then::kWait};
}

void Http2Exchange::write_data(size_t length, OutQueue* out) {
  CHECK(length <= queued_);
  session_->forgive_ping_ = true;
  queued_ -= length;
  out_pace_.move(length, session_->loop_.now());
  while (length > 0) {
    const Bytes& front = out_.front();
    const size_t n = std::min(length, front.size() - out_offset_);
    out->append(front, out_offset_, n);
    out_offset_ += n;
    length -= n;
    if (out_offset_ == front.size()) {
      out_.pop_front();
      out_offset_ = 0;
    }
  }
  count_outgoing(queued_ > 0 ? queued_ + kExchangeCost : 0);
  if (!was_full_ || pending() >= kHttpOutputHigh) return;
  was_full_ = false;
  // Later: this is in the middle of a frame.
  if (reply_) session_->host_.loop().post([reply = reply_] { reply->writable(); });
}

}  // namespace keelson::net
