#include "net/http1_session.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/status.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/text.h"
#include "net/http1_parser.h"
#include "net/loop_impl.h"
#include "net/pools.h"

namespace keelson::net {

namespace beast = boost::beast;
namespace bhttp = boost::beast::http;

namespace {

std::string_view reason(int status) {
  auto text = bhttp::obsolete_reason(bhttp::int_to_status(static_cast<unsigned>(status)));
  return {text.data(), text.size()};
}

// Room for the head of most answers.
constexpr size_t kUsualHead = 512;
// Of requests, fields.
constexpr size_t kUsualFields = 8;

// A line break in a value would let it forge what follows.
void append_safe(std::string* out, std::string_view value) {
  const size_t begin = out->size();
  out->append(value);
  if (value.find('\r') == value.npos && value.find('\n') == value.npos) return;
  std::replace_if(
      out->begin() + static_cast<std::ptrdiff_t>(begin), out->end(),
      [](char c) { return c == '\r' || c == '\n'; }, ' ');
}

}  // namespace

// Collects one request. Body bytes gather until the session takes them; how many there may be is
// known only once the path is.
class Http1Session::Parser final : public Http1Parser<true> {
 public:
  explicit Parser(size_t header_limit) : Http1Parser(header_limit) {
    request.fields.reserve(kUsualFields);
  }
  HttpRequest request;
  int version = 11;

 private:
  void on_request_impl(bhttp::verb, Text method, Text target, int v, Error& ec) override {
    request.method = str(method);
    request.target = str(target);
    version = v;
    ec = {};
  }
  void on_field_impl(bhttp::field, Text name, Text value, Error& ec) override {
    request.fields.push_back({str(name), str(value)});
    ec = {};
  }
};

Http1Session::Http1Session(const ServerContext* server, ProtocolHost* host)
    : server_(*server), host_(*host) {
  begin_request();
  expect_within(server_.options.read_header_timeout);
}

void Http1Session::expect_within(Duration time) {
  host_.loop().impl().timers().arm(this, host_.loop().now() + time);
}

Http1Session::~Http1Session() { closed(); }

void Http1Session::begin_request() {
  parser_ = std::make_unique<Parser>(server_.options.max_header_bytes);
  begun_ = opened_ = waiting_ = head_sent_ = answered_ = chunked_ = to_head_ = false;
  body_paused_ = false;
  handler_holds_ = 0;
  keep_alive_ = true;
  entry_ = nullptr;
  receiver_.reset();
  reply_.reset();
}

bool Http1Session::receive(std::string_view bytes) {
  if (broken_) return false;
  if (closing_) return true;
  input_.append(bytes);
  process();
  if (reading_body() && !body_paused_) expect_body();
  host_.wake();
  return !broken_;
}

bool Http1Session::input_full() const {
  return closing_ || held_back() || body_paused_ || (waiting_ && input_.size() >= (16u << 10));
}

// A client that asks on without taking the answers is not read from, between its requests. One that
// is begun goes on: its time runs.
bool Http1Session::held_back() const { return !begun_ && pending() >= kHttpOutputHigh; }

void Http1Session::process() {
  if (std::exchange(processing_, true)) return;
  held_ = false;
  while (!broken_ && !closing_ && !waiting_ && !body_paused_ && !(held_ = held_back()) && step()) {
  }
  // Once, not per step: a body in chunks of one byte takes very many steps.
  input_.erase(0, std::exchange(used_, 0));
  if (input_.empty() && !reading_body()) empty_out(&input_, kRoomKept);
  processing_ = false;
  if (!count_incoming() && !waiting_) refuse({429, "", ""});
}

// What is held of a request that the handler does not have yet, and of those behind it.
bool Http1Session::count_incoming() {
  size_t now = broken_ ? 0 : input_.size();
  if (opened_ && !waiting_ && !broken_) now += head_bytes_ + parser_->body.size();
  if (!broken_) now += handler_holds_;
  return host_.incoming().change(std::exchange(told_incoming_, now), now);
}

void Http1Session::count_outgoing() {
  host_.outgoing().change(std::exchange(told_outgoing_, queued_), queued_);
}

void Http1Session::each_held(HeldSort sort, absl::FunctionRef<void(const HeldItem&)> visit) const {
  if (sort == HeldSort::kOutgoing) {
    if (queued_ > 0) visit({HeldItem::kConnection, queued_, out_pace_.since});
  } else if (told_incoming_ > 0 && !working()) {
    visit({HeldItem::kConnection, told_incoming_, began_});
  }
}

// One bite of the input; false when there is nothing to do until more comes.
bool Http1Session::step() {
  std::string_view input = std::string_view(input_).substr(used_);
  if (input.empty() && !parser_->is_done()) return false;
  if (!std::exchange(begun_, true)) {
    began_ = host_.loop().now();
    expect_within(server_.options.read_header_timeout);
  }
  if (!parser_->is_done()) {
    beast::error_code ec;
    size_t used = parser_->put(boost::asio::const_buffer(input.data(), input.size()), ec);
    used_ += used;
    if (!opened_) head_bytes_ = used;
    if (ec == bhttp::error::need_more) {
      // Beast holds how long a head is, but neither a chunk's line nor trailers.
      if (input.size() - used > server_.options.max_header_bytes) {
        refuse({});
        return false;
      }
      return used > 0 && used < input.size();
    }
    if (ec) {
      refuse(refusal_of(ec));
      return false;
    }
    if (parser_->is_header_done() && !opened_) open();
    if (closing_ || !take_body()) return false;
  }
  // Its end belongs behind what is held back of it.
  if (body_paused_) return false;
  if (parser_->is_done()) dispatch();
  return true;
}

void Http1Session::open() {
  Timer::cancel();
  opened_ = true;
  body_began_ = host_.loop().now();
  to_head_ = parser_->request.method == "HEAD";
  keep_alive_ = parser_->keep_alive() && !draining_;
  parser_->request.peer = host_.peer();
  if (auto refusal = settle_head(&parser_->request, parser_->version)) return refuse(*refusal);
  const Router::Table& table = server_.router->table();
  if (!table.settle_path(&parser_->request)) return refuse({});
  const std::string_view expect = parser_->request.field("expect");
  const bool will_wait = absl::EqualsIgnoreCase(to_absl(expect), "100-continue");
  if (!expect.empty() && !will_wait) return refuse({417, "", ""});
  // A coding means nothing in HTTP/1.0, so where the next request begins is anybody's guess.
  if (parser_->version < 11 && parser_->chunked()) keep_alive_ = false;
  reply_ = std::make_shared<SinkReply>(&host_.loop(), static_cast<HttpSink*>(this));
  telling_ = false;
  handle_ = SinkReply::handle_for(reply_);
  entry_ = table.find_http(parser_->request);
  const bool takes_body = entry_->handler && !entry_->options.ignores_body;
  if (takes_body && parser_->content_length().value_or(0) > entry_->options.max_body_bytes) {
    return refuse({413, "", ""});
  }
  if (will_wait && !parser_->is_done() && parser_->version >= 11) {
    queue(Bytes::copy("HTTP/1.1 100 Continue\r\n\r\n"));
  }
  if (entry_->stream) {
    receiver_ = entry_->stream->on_open(std::move(parser_->request), std::move(handle_));
    handle_.reset();
  }
}

// False when the body has grown too long.
bool Http1Session::take_body() {
  if (!opened_) return true;
  std::string& body = parser_->body;
  if (entry_->stream || entry_->options.ignores_body) {
    if (receiver_ && !body.empty()) receiver_->on_body(Bytes::copy(body));
    body.clear();
  } else if (body.size() > entry_->options.max_body_bytes) {
    refuse({413, "", ""});
    return false;
  }
  return true;
}

bool Http1Session::reading_body() const {
  return opened_ && !closing_ && !broken_ && !parser_->is_done();
}

// Called for each bit of it.
void Http1Session::expect_body() {
  if (entry_->options.converses) return Timer::cancel();
  const ListenerOptions& options = server_.options;
  MonotonicTime due = host_.loop().now() + options.body_stall_timeout;
  if (!entry_->stream) due = std::min(due, body_began_ + options.read_body_timeout);
  host_.loop().impl().timers().arm(this, due);
}

void Http1Session::dispatch() {
  Timer::cancel();
  waiting_ = true;
  if (entry_->stream) {
    if (receiver_) receiver_->on_end();
    if (answered_) finish_request();
    return;
  }
  auto handle = std::exchange(handle_, nullptr);
  if (parser_->request.target == "*") return handle->send({});  // what we can do on the whole
  HttpRequest request = std::move(parser_->request);
  request.body = Bytes::copy(std::exchange(parser_->body, {}));
  entry_->handler->handle(std::move(request), std::move(handle));
}

// What is still on the wire is nobody's.
void Http1Session::stop_reading() {
  Timer::cancel();  // nothing more is expected of the client
  closing_ = true;
  handler_holds_ = 0;
  used_ = 0;
  input_.clear();
}

// Says what is wrong and ends the connection: where the next request begins cannot be known.
void Http1Session::refuse(const Refusal& refusal) {
  if (head_sent_) return abort();  // inside the answer it would be read as a part of it
  std::string text = cat(refusal.status, " ", reason(refusal.status),
                         refusal.detail.empty() ? "" : ": ", refusal.detail);
  queue(Bytes::copy(cat("HTTP/1.1 ", text,
                        "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n",
                        refusal.body.empty() ? std::string_view(text) : refusal.body)));
  stop_reading();
  if (reply_) std::exchange(reply_, nullptr)->detach();
  if (receiver_) std::exchange(receiver_, nullptr)->on_abort();
  handle_.reset();
}

// Beast stops at a second coding, and at a length beside a coding. (Go ignores the length then; it
// is how requests are smuggled, and a server may refuse it.)
Refusal Http1Session::refusal_of(const boost::system::error_code& error) const {
  if (error == bhttp::error::header_limit) return {431, "", ""};
  const bool second = !parser_->request.field("transfer-encoding").empty();
  if (error == bhttp::error::bad_transfer_encoding && second) {
    return {501, "", "Unsupported transfer encoding"};
  }
  return {};
}

void Http1Session::on_timer() {
  // Who still takes the last answer need not have asked for the next.
  if (!begun_ && (held_ || !out_.empty())) return expect_within(server_.options.idle_timeout);
  // A head or a body that does not end, or nothing at all; there is nobody to answer to.
  broken_ = true;
  host_.wake();
}

// ---- the answer

void Http1Session::write_head(HttpResponse& response, bool length_known) {
  head_sent_ = true;
  bool no_body = is_bodiless(response.status);
  chunked_ = !length_known && parser_->version >= 11 && !no_body;
  if (!length_known && parser_->version < 11) keep_alive_ = false;
  if (draining_ || !parser_->is_done()) keep_alive_ = false;
  std::string head;
  head.reserve(kUsualHead);
  absl::StrAppend(&head, parser_->version >= 11 ? "HTTP/1.1 " : "HTTP/1.0 ", response.status, " ",
                  to_absl(reason(response.status)), "\r\n");
  for (const HttpField& field : response.fields) {
    append_safe(&head, field.name);
    head += ": ";
    append_safe(&head, field.value);
    head += "\r\n";
  }
  if (!has_field(response, "Date")) absl::StrAppend(&head, "Date: ", http_date(), "\r\n");
  if (length_known && !no_body && !has_field(response, "Content-Length")) {
    absl::StrAppend(&head, "Content-Length: ", response.body.size(), "\r\n");
  }
  if (chunked_) head += "Transfer-Encoding: chunked\r\n";
  if (!keep_alive_) {
    head += "Connection: close\r\n";
  } else if (parser_->version < 11) {
    head += "Connection: keep-alive\r\n";
  }
  head += "\r\n";
  queue(Bytes::copy(head));
}

void Http1Session::write_piece(const MessageParts& piece) {
  if (piece.size() == 0 || to_head_) return;
  if (chunked_) queue(Bytes::copy(absl::StrFormat("%x\r\n", piece.size())));
  queue(piece);
  if (chunked_) queue(Bytes::copy("\r\n"));
}

void Http1Session::queue(const MessageParts& parts) {
  for (const Bytes& part : parts.parts()) queue(part);
}

void Http1Session::queue(Bytes bytes) {
  if (queued_ == 0) out_pace_.begin(host_.loop().now());
  queued_ += bytes.size();
  out_.push_back(std::move(bytes));
  count_outgoing();
  if (pending() >= kHttpOutputHigh) was_full_ = true;
  host_.wake();
}

void Http1Session::complete() {
  if (chunked_ && !to_head_) queue(Bytes::copy("0\r\n\r\n"));
  answered_ = true;
  reply_.reset();
  handler_holds_ = 0;
  if (body_paused_) resume_body();
  finish_request();
}

// The answer is complete; the request perhaps not.
void Http1Session::finish_request() {
  host_.wake();
  if (!keep_alive_) {
    stop_reading();
    return;
  }
  if (!waiting_) return;  // the rest of the body is still coming
  begin_request();
  expect_within(server_.options.idle_timeout);
  if (draining_) closing_ = true;
  process();
}

void Http1Session::abort() {
  broken_ = true;
  host_.wake();
}

// It is we who keep the client waiting.
void Http1Session::pause_body() {
  body_paused_ = true;
  Timer::cancel();
}

void Http1Session::resume_body() {
  body_paused_ = false;
  held_ = true;
  if (reading_body()) expect_body();
  host_.wake();
}

// While the body is delivered, process() counts at its end.
void Http1Session::hold(size_t bytes) {
  if (std::exchange(handler_holds_, bytes) == bytes || processing_) return;
  if (!count_incoming() && !waiting_) refuse({429, "", ""});
}

bool Http1Session::upgrade(HttpResponse& head, ProtocolFactory make) {
  if (!waiting_ || !keep_alive_ || draining_ || parser_->version < 11) return false;
  head.status = 101;
  write_head(head, true);
  host_.hand_over(std::move(make), input_.substr(used_));
  answered_ = true;
  reply_.reset();
  stop_reading();
  return true;
}

bool Http1Session::has_drained() {
  CHECK(telling_);
  telling_ = false;
  if (pending() >= kHttpOutputHigh) return false;
  was_full_ = false;
  return true;
}

bool Http1Session::produce(OutQueue& out, size_t limit) {
  if (broken_) return false;
  while (!out_.empty() && out.size() < limit) {
    Bytes piece = std::move(out_.front());
    out_.pop_front();
    queued_ -= piece.size();
    out_pace_.move(piece.size(), host_.loop().now());
    out.append(piece, 0, piece.size());
  }
  count_outgoing();
  // What is moved to `out` counts again when the socket does not take it, so that is looked at once
  // more when the task runs.
  if (was_full_ && !telling_ && reply_ && pending() < kHttpOutputHigh) {
    telling_ = true;
    host_.loop().post([reply = reply_] { reply->writable(); });
  }
  if (held_ && !held_back()) process();
  return !broken_;
}

void Http1Session::drain() {
  draining_ = true;
  if (!opened_ && input_.size() == used_) closing_ = true;
  keep_alive_ = false;
  if (auto reply = reply_) reply->draining();
  host_.wake();
}

bool Http1Session::parser_done() const { return parser_->is_done(); }

bool Http1Session::finished() const { return broken_ || (closing_ && out_.empty()); }

void Http1Session::input_ended() {
  // A client that has sent its request and shut its side down still wants the answer (as Go's
  // server sees it, it has gone; but netcat and simple probes do exactly this).
  if (waiting_ && !draining_ && !entry_->options.needs_client) {
    keep_alive_ = false;
    return;
  }
  closing_ = true;
}

void Http1Session::closed() {
  broken_ = true;
  queued_ = 0;
  out_.clear();
  count_outgoing();
  count_incoming();
  Timer::cancel();
  handle_.reset();
  if (reply_) std::exchange(reply_, nullptr)->detach();
  bool whole = waiting_;
  if (auto receiver = std::move(receiver_); receiver && !whole) receiver->on_abort();
}

}  // namespace keelson::net
