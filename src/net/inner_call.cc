#include "net/inner_call.h"

#include <algorithm>

#include "base/check.h"
#include "base/errors.h"
#include "base/text.h"
#include "net/grpc_codec.h"
#include "net/loop_impl.h"

namespace keelson::net {
namespace {

// The loop's clock stands still while it works: so much has passed at least.
constexpr Duration kTurnTakes = std::chrono::microseconds(1);

}  // namespace

InnerCall* InnerCall::make(Loop* loop, Options options, std::shared_ptr<Client> client) {
  return new InnerCall(loop, std::move(options), std::move(client));
}

InnerCall::InnerCall(Loop* loop, Options options, std::shared_ptr<Client> client)
    : ServerCall(loop),
      options_(std::move(options)),
      peer_{.address = options_.address,
            .local = options_.local,
            .tls = options_.tls,
            .connection = options_.connection,
            .client = options_.client},
      client_(std::move(client)) {
  CHECK(options_.method);
  CHECK(client_);
}

void InnerCall::unreferenced() {
  if (loop_->on_loop()) {
    delete this;
    return;
  }
  posted_answer_ = false;
  loop_->post_work(this);
}

void InnerCall::post_answer(absl::Status status, MessageParts message) {
  posted_answer_ = true;
  posted_status_ = std::move(status);
  posted_message_ = std::move(message);
  refs_.fetch_add(1, std::memory_order_relaxed);
  loop_->post_work(this);
}

void InnerCall::run() {
  if (!posted_answer_) {
    delete this;
    return;
  }
  const CallRef keep(this);
  refs_.fetch_sub(1, std::memory_order_relaxed);  // post_answer()'s; `keep` holds it now
  if (posted_status_.ok()) {
    respond(std::exchange(posted_message_, {}));
  } else {
    finish(std::exchange(posted_status_, absl::OkStatus()));
  }
}

void InnerCall::drop() {
  // The loop has stopped; nobody runs beside us.
  if (posted_answer_ && refs_.fetch_sub(1) > 1) return;
  delete this;
}

// ---- the client's side

void InnerCall::open() {
  const CallRef keep(this);
  CHECK(!std::exchange(opened_, true));
  if (options_.tracer) begin_trace(*options_.tracer);
  const MonotonicTime now = loop_->impl().now();
  if (options_.timeout) {
    // A century is never; this keeps the sum in range.
    deadline_ =
        now + std::clamp<Duration>(*options_.timeout, Duration(0), std::chrono::hours(24 * 36500));
    if (*deadline_ <= now + kTurnTakes) {
      return finish(absl::DeadlineExceededError("context deadline exceeded"));
    }
    loop_->impl().timers().arm(this, *deadline_);
  }
  if (unary()) return;
  count_start();
  receiver_ = options_.method->stream->on_open(keep);
  CHECK(receiver_);
  if (!client_) loop_->post([receiver = std::move(receiver_)] {});  // it has failed the call
}

void InnerCall::message(Bytes message) {
  if (!client_) return;
  const CallRef keep(this);
  const size_t most = options_.method->options.max_request_bytes;
  if (message.size() > most) return finish(errors::MessageTooLarge(message.size(), most));
  if (!reading_ || !held_.empty()) {
    held_.push_back(std::move(message));
    return;
  }
  take(std::move(message));
}

void InnerCall::take(Bytes message) {
  const MethodKind kind = options_.method->info.kind;
  const bool one_only = kind == MethodKind::kUnary || kind == MethodKind::kServerStream;
  CHECK(!one_only || !got_message_);
  got_message_ = true;
  if (unary()) count_start();
  if (options_.observer) {
    options_.observer->message_received(*this, message);
  }
  if (record_) record_->received(message);
  if (unary()) {
    request_ = std::move(message);
  } else {
    receiver_->on_message(std::move(message));
  }
}

void InnerCall::half_close() {
  if (!client_ || half_closed_) return;
  const CallRef keep(this);
  half_closed_ = true;
  deliver();
}

// What was held, and the half-close behind it.
void InnerCall::deliver() {
  while (client_ && reading_ && !held_.empty()) {
    Bytes message = std::move(held_.front());
    held_.pop_front();
    take(std::move(message));
  }
  if (!client_ || !reading_ || !half_closed_ || std::exchange(told_half_close_, true)) return;
  if (!unary()) return receiver_->on_half_close();
  options_.method->unary->handle(CallRef(this), std::exchange(request_, {}));
}

void InnerCall::cancel() {
  if (!client_) return;
  const CallRef keep(this);
  cancelled_.store(true, std::memory_order_relaxed);
  client_.reset();
  end(absl::CancelledError("context canceled"));
}

void InnerCall::drain() {
  const CallRef keep(this);
  if (client_ && receiver_) receiver_->on_drain();
}

void InnerCall::moved() {
  if (!client_ || !above_low_water_) return;
  if (client_->pending() >= options_.method->options.low_water) return;
  above_low_water_ = false;
  loop_->post([keep = CallRef(this), this] {
    if (client_ && receiver_) receiver_->on_writable();
  });
}

// ---- the handler's side

std::optional<std::string_view> InnerCall::metadata(std::string_view name) const {
  for (const auto& [key, value] : options_.metadata) {
    if (key == name) return value;
  }
  return std::nullopt;
}

void InnerCall::each_metadata(
    absl::FunctionRef<void(std::string_view, std::string_view)> visit) const {
  for (const auto& [key, value] : options_.metadata) {
    visit(key, key.ends_with("-bin") ? encode_base64(value) : value);
  }
}

void InnerCall::respond(MessageParts message) {
  if (!client_) return;
  if (message.size() > kMostToSend) return finish(answer_too_long(message.size()));
  const CallRef keep(this);
  if (options_.observer) options_.observer->message_sent(*this, message);
  if (record_) record_->sent(message.size());
  // The call is over with this: what becomes of the answer is not the method's time any more.
  report_end(absl::OkStatus(), &message);
  pass(std::move(message));
  finish(absl::OkStatus());
}

void InnerCall::send(MessageParts message) {
  if (!client_) return;
  if (message.size() > kMostToSend) return finish(message_too_long(message.size()));
  if (options_.observer) options_.observer->message_sent(*this, message);
  if (record_) record_->sent(message.size());
  pass(std::move(message));
}

void InnerCall::pass(MessageParts message) {
  const std::shared_ptr<Client> client = client_;
  client->on_message(std::move(message));
  if (client_ && client->pending() >= options_.method->options.low_water) above_low_water_ = true;
}

void InnerCall::finish(absl::Status status) {
  if (!client_) return;
  const CallRef keep(this);
  const std::shared_ptr<Client> client = std::exchange(client_, nullptr);
  end(status);
  client->on_finish(std::move(status));
}

void InnerCall::set_reading(bool on) {
  if (!client_ || std::exchange(reading_, on) == on) return;
  const std::shared_ptr<Client> client = client_;
  client->on_reading(on);
  if (!on) return;
  // Not from inside the caller: it may be in the middle of on_message().
  loop_->post([keep = CallRef(this), this] { deliver(); });
}

void InnerCall::on_cancel(Task task) {
  if (client_) cancel_task_ = std::move(task);
}

// ---- the end

void InnerCall::end(absl::Status status) {
  over_.store(true, std::memory_order_relaxed);
  if (trace_) end_trace(status);
  Timer::cancel();
  held_.clear();
  request_ = Bytes();
  report_end(status, nullptr);
  if (cancelled()) tell_cancelled();
  cancel_task_ = nullptr;
  // Not from inside one of its own methods.
  if (receiver_) loop_->post([receiver = std::move(receiver_)] {});
}

void InnerCall::report_end(const absl::Status& status, const MessageParts* response) {
  if (std::exchange(counted_, false)) {
    const CallSummary summary{.code = status.code(),
                              .text = message_of(status),
                              .elapsed = loop_->impl().now() - started_,
                              .remote = options_.address,
                              .response = response};
    if (options_.observer) options_.observer->call_finished(*this, summary);
    if (const auto record = std::exchange(record_, nullptr)) record->ended(summary);
  }
  kept_request_.reset();
}

void InnerCall::tell_cancelled() {
  if (receiver_) receiver_->on_cancel();
  if (Task task = std::exchange(cancel_task_, nullptr)) task();
}

void InnerCall::on_timer() {
  cancelled_.store(true, std::memory_order_relaxed);
  finish(absl::DeadlineExceededError("context deadline exceeded"));
}

void InnerCall::count_start() {
  counted_ = true;
  started_ = loop_->impl().now();
  if (options_.observer) options_.observer->call_started(*this);
  if (options_.recorder) {
    record_ = options_.recorder->record(*this, CallRecorder::Door::kGateway);
  }
}

}  // namespace keelson::net
