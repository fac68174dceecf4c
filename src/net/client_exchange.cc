#include "net/client_exchange.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/text.h"
#include "net/http_reply.h"

namespace keelson::net {
namespace {

constexpr MonotonicTime kNever{Duration::max()};

MonotonicTime after(MonotonicTime now, Duration time) {
  return time == Duration(0) ? kNever : now + time;
}

bool is_token(std::string_view text) {
  constexpr std::string_view kOthers = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           kOthers.find(c) != std::string_view::npos;
  });
}

// Printable, without the blanks that would end a request's target.
bool is_target(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

bool is_value(std::string_view text) {
  return text.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos;
}

bool is_named(const HttpField& field, std::string_view name) {
  return absl::EqualsIgnoreCase(to_absl(field.name), to_absl(name));
}

}  // namespace

ClientExchange::ClientExchange(Loop* loop, HttpClientRequest request,
                               std::unique_ptr<HttpReceiver> receiver,
                               const HttpClientOptions& options)
    : loop_(*loop),
      request_(std::move(request)),
      receiver_(std::move(receiver)),
      response_(options.max_head_bytes, request_.method == "HEAD"),
      queue_due_(kNever),
      head_due_(kNever),
      stall_due_(kNever),
      whole_due_(after(loop->now(), request_.deadlines.whole)) {
  make_head(options.user_agent);
  queue_request();
}

absl::Status ClientExchange::check() const {
  const auto bad = [](std::string_view what) {
    return absl::InvalidArgumentError(cat("invalid HTTP request: ", what));
  };
  if (!is_token(request_.method)) return bad("method");
  if (!is_target(request_.target)) return bad("target");
  for (const HttpField& field : request_.fields) {
    if (!is_token(field.name) || !is_value(field.value)) return bad(cat("field ", field.name));
    for (const char* ours : {"Content-Length", "Transfer-Encoding", "Connection"}) {
      if (is_named(field, ours)) return bad(cat("field ", ours, " is not the caller's"));
    }
  }
  if (request_.length && request_.body.size() > *request_.length) return bad("length");
  return absl::OkStatus();
}

// ---- the request

void ClientExchange::make_head(const std::string& user_agent) {
  const auto given = [this](std::string_view name) {
    return std::any_of(request_.fields.begin(), request_.fields.end(),
                       [&](const HttpField& field) { return is_named(field, name); });
  };
  head_ = cat(request_.method, " ", request_.target, " HTTP/1.1\r\n");
  if (!given("Host")) head_ += cat("Host: ", request_.place.authority(), "\r\n");
  if (!given("User-Agent")) head_ += cat("User-Agent: ", user_agent, "\r\n");
  for (const HttpField& field : request_.fields)
    head_ += cat(field.name, ": ", field.value, "\r\n");
  if (!has_length()) {
    head_ += "Transfer-Encoding: chunked\r\n";
  } else {
    const uint64_t length = request_.streamed ? *request_.length : request_.body.size();
    const bool usual = request_.method == "GET" || request_.method == "HEAD";
    if (length > 0 || !usual) head_ += cat("Content-Length: ", length, "\r\n");
  }
  head_ += "\r\n";
}

void ClientExchange::queue_request() {
  out_.clear();
  queued_ = 0;
  body_taken_ = 0;
  queue(Bytes::copy(head_));
  queue_body(request_.body);
  body_ended_ = !request_.streamed;
}

void ClientExchange::queue_body(MessageParts piece) {
  CHECK(piece.first_late() == nullptr);
  if (piece.empty()) return;
  body_taken_ += piece.size();
  if (!has_length()) queue(Bytes::copy(absl::StrFormat("%x\r\n", piece.size())));
  for (const Bytes& part : piece.parts()) queue(part);
  if (!has_length()) queue(Bytes::copy("\r\n"));
}

void ClientExchange::queue(Bytes bytes) {
  queued_ += bytes.size();
  out_.push_back(std::move(bytes));
  if (pending_bytes() >= kHttpOutputHigh) was_full_ = true;
}

void ClientExchange::write(MessageParts piece) {
  if (over_ || body_ended_) return;
  CHECK(request_.streamed);
  if (request_.length && piece.size() > *request_.length - body_taken_) {
    return loop_.post([self = shared_from_this()] {
      self->fail(absl::InvalidArgumentError("the body is longer than it was said to be"));
    });
  }
  if (pending_bytes() == 0) stall_due_ = after(loop_.now(), request_.deadlines.stall);
  queue_body(std::move(piece));
  rearm();
  if (carrier_) carrier_->exchange_ready();
}

void ClientExchange::end_body() {
  if (over_ || body_ended_) return;
  if (request_.length && body_taken_ < *request_.length) {
    return loop_.post([self = shared_from_this()] {
      self->fail(absl::InvalidArgumentError("the body is shorter than it was said to be"));
    });
  }
  body_ended_ = true;
  if (!has_length()) queue(Bytes::copy("0\r\n\r\n"));
  if (attached_) sent();
  if (carrier_) carrier_->exchange_ready();
}

size_t ClientExchange::pending_bytes() const {
  return queued_ + (attached_ ? carrier_->unsent() : 0);
}

void ClientExchange::produce(OutQueue& out, size_t limit) {
  while (!out_.empty() && out.size() < limit) {
    Bytes piece = std::move(out_.front());
    out_.pop_front();
    queued_ -= piece.size();
    out.append(piece, 0, piece.size());
  }
}

void ClientExchange::sent() {
  if (over_) return;
  stall_due_ = after(loop_.now(), request_.deadlines.stall);
  if (all_sent() && !head_told_ && head_due_ == kNever) {
    head_due_ = after(loop_.now(), request_.deadlines.head);
  }
  rearm();
  if (!was_full_ || pending_bytes() >= kHttpOutputHigh) return;
  was_full_ = false;
  loop_.post([self = shared_from_this()] {
    if (!self->over_ && self->writable_) self->writable_();
  });
}

// ---- its way

void ClientExchange::wait_in(ExchangeCarrier* queue, Duration time) {
  CHECK(!over_);
  carrier_ = queue;
  queue_due_ = after(loop_.now(), time);
  rearm();
}

void ClientExchange::go_out_on(ExchangeCarrier* connection) {
  CHECK(!over_);
  carrier_ = connection;
  attached_ = true;
  queue_due_ = kNever;
  stall_due_ = after(loop_.now(), request_.deadlines.stall);
  rearm();
  carrier_->exchange_ready();
}

bool ClientExchange::may_go_again() const {
  const bool harmless = request_.method == "GET" || request_.method == "HEAD";
  return !over_ && !heard_ && harmless && !request_.streamed;
}

void ClientExchange::go_again(ExchangeCarrier* queue, Duration time) {
  CHECK(may_go_again());
  attached_ = false;
  head_due_ = stall_due_ = kNever;
  queue_request();
  wait_in(queue, time);
}

// ---- the answer

void ClientExchange::receive(std::string_view bytes) {
  if (over_) return;
  heard_ = true;
  stall_due_ = after(loop_.now(), request_.deadlines.stall);
  input_.append(bytes);
  process();
}

void ClientExchange::input_ended() {
  if (over_) return;
  ended_ = true;
  process();
}

void ClientExchange::pause() {
  paused_ = true;
  rearm();
}

void ClientExchange::resume() {
  if (!std::exchange(paused_, false) || over_) return;
  stall_due_ = after(loop_.now(), request_.deadlines.stall);
  rearm();
  loop_.post([self = shared_from_this()] {
    if (self->over_) return;
    self->process();
    if (!self->over_ && self->attached_) self->carrier_->exchange_ready();
  });
}

// A receiver may do anything from inside its calls: pause, cancel, begin another exchange.
void ClientExchange::process() {
  if (processing_ || paused_) return;
  auto keep = shared_from_this();
  processing_ = true;
  std::string_view input = input_;
  absl::Status status = response_.take(&input);
  const bool more_behind = !input.empty() && response_.complete();
  input_.erase(0, input_.size() - input.size());
  if (status.ok() && ended_) status = response_.end_of_input();
  const bool told = deliver_head() && deliver_body();
  processing_ = false;
  if (!told || over_) return;
  if (!status.ok()) return finish(std::move(status), false);
  if (response_.complete() && !paused_) {
    return finish(absl::OkStatus(),
                  all_sent() && response_.keeps_alive() && !more_behind && !ended_);
  }
  rearm();
}

// False when the exchange is over.
bool ClientExchange::deliver_head() {
  if (!response_.head_complete() || std::exchange(head_told_, true)) return true;
  head_due_ = kNever;
  receiver_->on_head(std::move(response_.head()));
  return !over_;
}

bool ClientExchange::deliver_body() {
  if (paused_ || response_.body().empty()) return true;
  const std::string body = std::exchange(response_.body(), {});
  receiver_->on_body(body);
  return !over_;
}

// ---- its end

void ClientExchange::fail(absl::Status status) {
  if (!over_) finish(std::move(status), false);
}

void ClientExchange::cancel() {
  if (over_) return;
  // The receiver may be the one that calls; it goes when its call has returned.
  loop_.post([receiver = std::shared_ptr<HttpReceiver>(std::move(receiver_))] {});
  finish(absl::CancelledError(), false);
}

void ClientExchange::finish(absl::Status status, bool reusable) {
  auto keep = shared_from_this();
  over_ = true;
  attached_ = false;
  Timer::cancel();
  out_.clear();
  queued_ = 0;
  writable_ = nullptr;
  std::unique_ptr<HttpReceiver> receiver = std::move(receiver_);
  if (ExchangeCarrier* carrier = std::exchange(carrier_, nullptr)) {
    carrier->exchange_over(this, reusable);
  }
  if (receiver) receiver->on_end(std::move(status));
}

MonotonicTime ClientExchange::due() const {
  const bool sending = attached_ && pending_bytes() > 0;
  const bool receiving = head_told_ && !paused_;
  const MonotonicTime due = std::min({queue_due_, head_due_, whole_due_});
  return sending || receiving ? std::min(due, stall_due_) : due;
}

void ClientExchange::rearm() {
  if (over_) return;
  if (due() == kNever) return Timer::cancel();
  loop_.impl().timers().arm(this, due());
}

absl::Status ClientExchange::late(MonotonicTime now) const {
  const auto timeout = [](std::string_view what) {
    return absl::DeadlineExceededError(to_absl(what));
  };
  if (now >= whole_due_) return timeout("context deadline exceeded");
  if (now >= queue_due_) return timeout("timeout awaiting a connection");
  if (now >= head_due_) return timeout("timeout awaiting response headers");
  return timeout("i/o timeout");
}

void ClientExchange::on_timer() {
  // What was waited for when it was armed may be over.
  if (loop_.now() < due()) return rearm();
  fail(late(loop_.now()));
}

}  // namespace keelson::net
