#include "net/http2_call.h"

#include <algorithm>
#include <cstring>

#include "absl/container/inlined_vector.h"
#include "base/check.h"
#include "base/endian.h"
#include "base/errors.h"
#include "base/text.h"
#include "net/http2_session.h"
#include "net/pools.h"

namespace keelson::net {
namespace {

constexpr std::string_view kCodeTexts[] = {"0", "1",  "2",  "3",  "4",  "5",  "6",  "7", "8",
                                           "9", "10", "11", "12", "13", "14", "15", "16"};

std::string_view code_text(absl::StatusCode code) {
  auto number = static_cast<size_t>(code);
  return number < std::size(kCodeTexts) ? kCodeTexts[number] : kCodeTexts[2];
}

// What an answer that waits costs beside its bytes, about: the call and its stream, and for each
// part its place in the list. Of the bytes that others hold as well so many count from the first.
constexpr size_t kCallCost = 1024;
constexpr size_t kPartCost = 48;
constexpr size_t kMostShared = 1 << 20;

constexpr std::string_view kGrpcType = "application/grpc";

using Fields = absl::InlinedVector<HeaderField, 8>;

}  // namespace

// ---- lifetime

Http2Call* Http2Call::make(Loop* loop, Http2Session* session, int32_t stream_id,
                           RequestHead* head) {
  Http2Call* call = FreeList<Http2Call>::take();
  if (!call) call = new Http2Call(loop);
  call->loop_ = loop;
  call->session_ = session;
  call->id_ = stream_id;
  call->head_.swap(*head);
  call->refs_.store(1, std::memory_order_relaxed);
  return call;
}

Http2Call::~Http2Call() { clear(); }

void Http2Call::clear() {
  identity_.reset();
  trace_.reset();
  Timer::cancel();
  head_.clear();
  counted_ = false;
  record_.reset();
  entry_ = nullptr;
  deadline_.reset();
  request_ = Bytes();
  kept_request_.reset();
  got_message_ = remote_done_ = half_closed_ = false;
  reading_ = true;
  empty_out(&held_, 1024);
  receiver_.reset();
  cancel_task_ = nullptr;
  drop_queue();
  headers_sent_ = above_low_water_ = false;
  finished_ = trailers_sent_ = reported_ = making_ = false;
  status_ = absl::OkStatus();
  empty_out(&extra_headers_, 4);
  empty_out(&extra_trailers_, 4);
  posted_ = Posted::kRelease;
  posted_status_ = absl::OkStatus();
  posted_message_.clear();
  over_.store(false, std::memory_order_relaxed);
  cancelled_.store(false, std::memory_order_relaxed);
}

void Http2Call::recycle() {
  clear();
  FreeList<Http2Call>::put(this);
}

void Http2Call::unref() {
  if (refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) unreferenced();
}

void Http2Call::unreferenced() {
  if (loop_->on_loop()) return recycle();
  posted_ = Posted::kRelease;
  loop_->post_work(this);
}

void Http2Call::post_answer(absl::Status status, MessageParts message) {
  posted_ = Posted::kAnswer;
  posted_status_ = std::move(status);
  posted_message_ = std::move(message);
  refs_.fetch_add(1, std::memory_order_relaxed);
  loop_->post_work(this);
}

void Http2Call::run() {
  if (posted_ == Posted::kRelease) return recycle();
  if (posted_status_.ok()) {
    respond(std::exchange(posted_message_, {}));
  } else {
    finish(std::exchange(posted_status_, absl::OkStatus()));
  }
  unref();
}

void Http2Call::drop() {
  // The loop has stopped; nobody runs beside us.
  if (posted_ == Posted::kAnswer && refs_.fetch_sub(1) > 1) return;
  delete this;
}

// ---- what comes in

absl::Status Http2Call::set_deadline() {
  if (!head_.has(RequestHead::kTimeout)) return absl::OkStatus();
  auto parsed = parse_grpc_timeout(known(RequestHead::kTimeout));
  if (!parsed.ok()) return parsed.status();
  // A century is never; this keeps the sum in range.
  Duration bounded = std::min<Duration>(*parsed, std::chrono::hours(24 * 36500));
  deadline_ = loop_->impl().now() + bounded;
  return absl::OkStatus();
}

// The order of the checks is grpc-go's.
bool Http2Call::refuse_unfit() {
  if (head_.many_hosts()) {
    refuse(400, absl::InternalError(
                    cat("num values of :authority: ", head_.has(RequestHead::kAuthority) ? 1 : 0,
                        ", num values of host: ", head_.hosts(),
                        ", both must only have 1 value as per HTTP/2 spec")));
    return true;
  }
  std::string_view type = known(RequestHead::kContentType);
  if (!is_grpc_content_type(type)) {
    refuse(415,
           absl::InvalidArgumentError(cat("invalid gRPC request content-type ", quoted(type))));
    return true;
  }
  absl::Status headers = set_deadline();
  if (headers.ok()) headers = head_.decode_binary();
  if (!headers.ok()) {
    refuse(400, headers);
    return true;
  }
  if (std::string_view method = known(RequestHead::kMethod); method != "POST") {
    refuse(405, absl::InternalError(cat("Received a HEADERS frame with :method ", quoted(method),
                                        " which should be POST")));
    return true;
  }
  if (deadline_ && *deadline_ <= loop_->impl().now()) {
    refuse(200, absl::DeadlineExceededError("context deadline exceeded"));
    return true;
  }
  return false;
}

void Http2Call::refuse(int http_status, const absl::Status& status) {
  finished_ = true;
  status_ = status;
  over_.store(true, std::memory_order_relaxed);
  submit_status_only(http_status);
}

void Http2Call::begin(bool end_stream) {
  remote_done_ = end_stream;
  identity_ = session_->host_.peer().identity;
  if (refuse_unfit()) return;
  const Router::Table& table = session_->server_.router->table();
  std::string_view path = known(RequestHead::kPath);
  entry_ = table.find_method(path);
  if (!entry_) return refuse(200, table.unknown(path));
  if (trace::Tracer* tracer = session_->server_.options.tracer) begin_trace(*tracer);
  std::string_view encoding = known(RequestHead::kEncoding);
  bool gzip = encoding == "gzip";
  reader_.reset(entry_->options.max_request_bytes, gzip);
  if (!gzip && !encoding.empty() && encoding != "identity") {
    return finish(absl::UnimplementedError(
        cat("grpc: Decompressor is not installed for grpc-encoding ", quoted(encoding))));
  }
  start();
  if (end_stream) on_end_stream();
}

void Http2Call::start() {
  if (deadline_) loop_->impl().timers().arm(this, *deadline_);
  if (!entry_->stream) return;
  count_start();
  receiver_ = entry_->stream->on_open(CallRef(this));
  CHECK(receiver_);
  if (session_ && session_->draining_) on_drain();
}

void Http2Call::on_drain() {
  if (receiver_ && !finished_) receiver_->on_drain();
}

size_t Http2Call::on_data(std::string_view data) {
  if (finished_) return data.size();
  if (!reading_ || !held_.empty()) {
    held_.append(data);
    arriving_ = data.size();
  } else {
    deliver(data);
    arriving_ = held_.size();
  }
  const size_t waits = arriving_;
  count_incoming();
  arriving_ = 0;
  return held_.empty() ? data.size() : data.size() - waits;
}

void Http2Call::deliver(std::string_view data) {
  while (!data.empty() && !finished_) {
    const bool late = entry_->stream && session_->backlog_->must_wait();
    if (!reading_ || late) {
      // Stopped by what it was given, or for this turn: the rest waits without window.
      held_.append(data);
      if (late) session_->backlog_->add(this);
      return;
    }
    switch (reader_.feed(&data)) {
      case MessageReader::Step::kNeedMore:
        return;
      case MessageReader::Step::kBad:
        return finish(reader_.error());
      case MessageReader::Step::kMessage:
        take_message(reader_.take());
        break;
    }
  }
}

void Http2Call::take_message(Bytes message) {
  bool one_only =
      entry_->info.kind == MethodKind::kUnary || entry_->info.kind == MethodKind::kServerStream;
  if (one_only && std::exchange(got_message_, true)) {
    return finish(absl::InternalError(
        "cardinality violation: received multiple request messages for non-client-streaming RPC"));
  }
  if (entry_->unary) count_start();
  if (CallObserver* o = session_->server_.observer) {
    o->message_received(*this, message);
  }
  if (record_) record_->received(message);
  if (entry_->unary) {
    request_ = std::move(message);
  } else {
    receiver_->on_message(std::move(message));
  }
}

void Http2Call::on_end_stream() {
  remote_done_ = true;
  if (finished_ || half_closed_ || !held_.empty() || !entry_) return;
  if (!reading_) return;
  half_closed_ = true;
  if (reader_.in_message()) return finish(absl::InternalError("unexpected EOF"));
  bool one_only =
      entry_->info.kind == MethodKind::kUnary || entry_->info.kind == MethodKind::kServerStream;
  if (one_only && !got_message_) {
    return finish(absl::InternalError(
        "cardinality violation: received no request message from non-client-streaming RPC"));
  }
  if (!entry_->unary) return receiver_->on_half_close();
  if (session_->backlog_->must_wait()) return session_->backlog_->add(this);
  serve();
}

void Http2Call::serve() {
  Bytes request = std::move(request_);
  count_incoming();
  entry_->unary->handle(CallRef(this), std::move(request));
}

void Http2Call::go_on() {
  if (!session_ || finished_) return;
  if (entry_->unary) return serve();
  deliver_held();
}

void Http2Call::set_reading(bool on) {
  if (reading_ == on || !session_) return;
  reading_ = on;
  if (!on) return;
  // Not from inside the caller: it may be in the middle of on_message().
  loop_->post([call = CallRef(this), this] { deliver_held(); });
}

void Http2Call::deliver_held() {
  if (!session_ || !reading_ || finished_) return;
  std::string data = std::exchange(held_, {});
  size_t before = data.size();
  deliver(data);
  if (!session_) return;
  size_t consumed = before - held_.size();
  count_incoming();
  if (consumed > 0) {
    session_->framing_.used_of_stream(this, consumed);
    session_->used(consumed);
  }
  session_->host_.wake();
  if (remote_done_) on_end_stream();
}

std::optional<std::string_view> Http2Call::metadata(std::string_view name) const {
  return head_.metadata(name);
}

void Http2Call::each_metadata(
    absl::FunctionRef<void(std::string_view, std::string_view)> visit) const {
  head_.each_metadata(visit);
}

std::string_view Http2Call::authority() const { return head_.authority(); }

const PeerInfo& Http2Call::peer() const {
  static const PeerInfo gone;
  return session_ ? session_->host_.peer() : gone;
}

// ---- what goes out

void Http2Call::add_header(std::string_view name, std::string_view value) {
  if (finished_ || headers_sent_) return;
  extra_headers_.emplace_back(name, name.ends_with("-bin") ? encode_base64(value) : value);
}

void Http2Call::add_trailer(std::string_view name, std::string_view value) {
  if (finished_) return;
  extra_trailers_.emplace_back(name, name.ends_with("-bin") ? encode_base64(value) : value);
}

void Http2Call::respond(MessageParts message) {
  if (finished_ || !session_) return;
  if (message.size() > kMostToSend) return finish(answer_too_long(message.size()));
  if (!session_->outgoing_.admits(cost_of(message))) {
    return finish(errors::RequestTooManyRequests());
  }
  const bool is_long = message.first_late() || message.shared() > kMostShared;
  enqueue(std::move(message));
  finish(absl::OkStatus());
  if (is_long) watch_over();
}

void Http2Call::send(MessageParts message) {
  if (finished_ || !session_) return;
  if (message.size() > kMostToSend) return finish(message_too_long(message.size()));
  const bool is_late = message.first_late() != nullptr;
  enqueue(std::move(message));
  send_headers();
  if (is_late) watch_over();
  session_->framing_.resume(this);
  session_->host_.wake();
}

size_t Http2Call::cost_of(const MessageParts& message) {
  return kCallCost + message.parts().size() * kPartCost + message.own() +
         std::min(message.shared(), kMostShared);
}

size_t Http2Call::whole_cost_of(const MessageParts& message) {
  return kCallCost + message.parts().size() * kPartCost + message.own() + message.shared();
}

void Http2Call::enqueue(MessageParts message) {
  CHECK(message.size() <= kMostToSend);
  const size_t cost = cost_of(message);
  if (queued_ == 0) out_pace_.begin(loop_->impl().now());
  told_outgoing_ += cost;
  session_->outgoing_.change(0, cost);
  if (CallObserver* o = session_->server_.observer) {
    o->message_sent(*this, message);
  }
  if (record_) record_->sent(message.size());
  queued_ += kGrpcPrefix + message.size();
  if (queued_ >= entry_->options.low_water) above_low_water_ = true;
  auto size = static_cast<uint32_t>(message.size());
  OutMessage& out = out_.emplace_back();
  out.prefix[0] = 0;
  store_big32(out.prefix + 1, size);
  out.parts = std::move(message);
  if (out.parts.first_late()) late_parts_ = true;
}

void Http2Call::send_headers() {
  if (headers_sent_ || finished_ || !session_) return;
  submit_headers();
  session_->host_.wake();
}

void Http2Call::finish(absl::Status status) {
  if (finished_ || !session_) return;
  finished_ = true;
  over_.store(true, std::memory_order_relaxed);
  status_ = std::move(status);
  Timer::cancel();
  if (late_parts_) look_again();
  cancel_task_ = nullptr;
  report_end();
  if (headers_sent_) {
    session_->framing_.resume(this);
  } else if (queued_ > 0) {
    submit_headers();
  } else {
    submit_status_only(200);
  }
  session_->host_.wake();
}

// A unary call counts, and its time runs, from its message on, as in etcd, whose interceptors come
// behind the decoding; what the client does before that is its own affair.
void Http2Call::count_start() {
  counted_ = true;
  started_ = loop_->impl().now();
  if (CallObserver* o = session_->server_.observer) o->call_started(*this);
  if (CallRecorder* r = session_->server_.options.recorder) {
    record_ = r->record(*this, CallRecorder::Door::kGrpc);
  }
}

void Http2Call::report_end() {
  if (std::exchange(reported_, true)) return;
  if (trace_) end_trace(status_);
  if (counted_) {
    const bool answered = entry_->unary && status_.ok() && !out_.empty();
    const CallSummary summary{.code = status_.code(),
                              .text = message_of(status_),
                              .elapsed = loop_->impl().now() - started_,
                              .remote = peer().address,
                              .response = answered ? &out_.back().parts : nullptr};
    if (CallObserver* o = session_->server_.observer) o->call_finished(*this, summary);
    if (const auto record = std::exchange(record_, nullptr)) record->ended(summary);
  }
  kept_request_.reset();
}

void Http2Call::submit_headers() {
  headers_sent_ = true;
  session_->forgive_ping_ = true;
  std::string_view type = known(RequestHead::kContentType);
  if (type == kGrpcType && extra_headers_.empty()) return session_->framing_.answer_usual(this);
  Fields fields = {{":status", "200"}, {"content-type", type}};
  for (auto& [name, value] : extra_headers_) fields.push_back({name, value});
  session_->framing_.answer(this, fields, /*has_body=*/true);
}

void Http2Call::submit_status_only(int http_status) {
  headers_sent_ = trailers_sent_ = true;
  session_->forgive_ping_ = true;
  const std::string status = cat(http_status);
  const std::string message = percent_encode(message_of(status_));
  std::string_view type = known(RequestHead::kContentType);
  if (!is_grpc_content_type(type) || type.size() > kMostRepeated) type = kGrpcType;
  Fields fields = {
      {":status", status}, {"content-type", type}, {"grpc-status", code_text(status_.code())}};
  if (!message.empty()) fields.push_back({"grpc-message", message});
  for (auto& [name, value] : extra_headers_) fields.push_back({name, value});
  for (auto& [name, value] : extra_trailers_) fields.push_back({name, value});
  session_->framing_.answer(this, fields, /*has_body=*/false);
  session_->host_.wake();
}

void Http2Call::submit_trailers() {
  if (std::exchange(trailers_sent_, true)) return;
  if (status_.ok() && extra_trailers_.empty()) return session_->framing_.trail_usual(this);
  Fields fields = {{"grpc-status", code_text(status_.code())}};
  const std::string message = percent_encode(message_of(status_));
  if (!status_.ok()) fields.push_back({"grpc-message", message});
  for (auto& [name, value] : extra_trailers_) fields.push_back({name, value});
  session_->framing_.trail(this, fields);
}

void Http2Call::reset_stream(Http2Error error) {
  session_->framing_.reset(this, error);
  session_->host_.wake();
}

Http2Stream::Pulled Http2Call::pull(size_t most) {
  const size_t ready = sendable();
  const size_t n = std::min(most, ready);
  if (n == queued_ && finished_) {
    submit_trailers();
    return {n, Pulled::Then::kEnd};
  }
  return {n, n < ready ? Pulled::Then::kMore : Pulled::Then::kWait};
}

void Http2Call::write_data(size_t length, OutQueue* out) {
  CHECK(length <= queued_);
  session_->forgive_ping_ = true;
  queued_ -= length;
  out_pace_.move(length, loop_->impl().now());
  while (length > 0) {
    OutMessage& message = out_[out_first_];
    if (out_offset_ < kGrpcPrefix) {
      size_t n = std::min(length, kGrpcPrefix - out_offset_);
      out->append({message.prefix + out_offset_, n});
      out_offset_ += n;
      length -= n;
      out_part_start_ = kGrpcPrefix;
    }
    auto parts = message.parts.parts();
    while (length > 0 && out_part_ < parts.size()) {
      const Bytes& part = parts[out_part_];
      size_t in_part = out_offset_ - out_part_start_;
      size_t n = std::min(length, part.size() - in_part);
      out->append(part, in_part, n);
      out_offset_ += n;
      length -= n;
      if (in_part + n == part.size()) {
        out_part_start_ += part.size();
        message.parts.release(out_part_++);
      }
    }
    if (out_offset_ < kGrpcPrefix + message.parts.size()) break;
    // The last one takes what look_after() has added.
    const size_t cost = out_first_ + 1 < out_.size() ? cost_of(message.parts) : told_outgoing_;
    CHECK(told_outgoing_ >= cost);
    told_outgoing_ -= cost;
    session_->outgoing_.change(cost, 0);
    message.parts.clear();
    ++out_first_;
    out_offset_ = out_part_ = out_part_start_ = 0;
  }
  if (out_first_ == out_.size()) {
    out_.clear();
    out_first_ = 0;
  } else if (out_first_ >= 32 && out_first_ * 2 > out_.size()) {
    out_.erase(out_.begin(), out_.begin() + static_cast<ptrdiff_t>(out_first_));
    out_first_ = 0;
  }
  want_part();
  if (above_low_water_ && queued_ < entry_->options.low_water) {
    above_low_water_ = false;
    if (receiver_ && !finished_) notify_writable();
  }
}

void Http2Call::notify_writable() {
  // Later: this is in the middle of a frame.
  loop_->post([call = CallRef(this), this] {
    if (receiver_ && !finished_) receiver_->on_writable();
  });
}

void Http2Call::drop_queue() {
  CHECK(session_ || told_outgoing_ == 0);
  if (told_outgoing_ > 0) session_->outgoing_.change(std::exchange(told_outgoing_, 0), 0);
  empty_out(&out_, 32);
  out_first_ = out_offset_ = out_part_ = out_part_start_ = 0;
  queued_ = 0;
  late_parts_ = false;
}

// ---- the ends that we do not choose

void Http2Call::on_timer() {
  if (!session_) return;
  if (finished_ || !deadline_ || loop_->impl().now() < *deadline_) return look_after();
  cancelled_.store(true, std::memory_order_relaxed);
  Task task = std::exchange(cancel_task_, nullptr);
  if (headers_sent_ && queued_ > 0) {
    // The client does not take what it asked for; it would not see trailers behind that either.
    finished_ = true;
    over_.store(true, std::memory_order_relaxed);
    status_ = absl::DeadlineExceededError("context deadline exceeded");
    report_end();
    reset_stream(Http2Error::kCancel);
  } else {
    finish(absl::DeadlineExceededError("context deadline exceeded"));
  }
  if (receiver_) receiver_->on_cancel();
  if (task) task();
}

void Http2Call::on_cancel(Task task) {
  if (!finished_ && session_) cancel_task_ = std::move(task);
}

void Http2Call::stream_closed() {
  Timer::cancel();
  if (!finished_) {
    status_ = absl::CancelledError("context canceled");
    finished_ = true;
    cancelled_.store(true, std::memory_order_relaxed);
    over_.store(true, std::memory_order_relaxed);
    report_end();
    tell_cancelled();
  }
  // Whoever still holds the call needs nothing of what has come in.
  drop_incoming();
  drop_queue();
  session_ = nullptr;
  receiver_.reset();
  unref();
}

void Http2Call::tell_cancelled() {
  if (receiver_) receiver_->on_cancel();
  if (Task task = std::exchange(cancel_task_, nullptr)) task();
}

// ---- ServerCall

void ServerCall::begin_trace(trace::Tracer& tracer) {
  trace_ = trace::CallTrace::begin(tracer,
                                   {.name = std::string_view(method().path).substr(1),
                                    .traceparent = metadata("traceparent").value_or(""),
                                    .tracestate = metadata("tracestate").value_or("")},
                                   peer().local);
}

void ServerCall::end_trace(const absl::Status& status) {
  trace_->finish(status);
  trace_.reset();
}

void ServerCall::respond_later(CallRef call, MessageParts message) {
  call->post_answer(absl::OkStatus(), std::move(message));
}

void ServerCall::fail_later(CallRef call, absl::Status status) {
  CHECK(!status.ok());
  call->post_answer(std::move(status), {});
}

}  // namespace keelson::net
