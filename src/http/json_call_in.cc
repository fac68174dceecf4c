// What comes in of a request of the JSON gateway: its body as messages of the call.

#include <utility>

#include "base/errors.h"
#include "base/failpoint.h"
#include "base/text.h"
#include "http/json_call.h"
#include "http/json_plain.h"

namespace keelson::http {
namespace {

// Messages that one turn of the loop takes out of a body.
constexpr int kMostInATurn = 64;
// Room for input that stays when there is none.
constexpr size_t kKept = 4 << 10;

absl::Status bad_json(const std::string& why) { return absl::InvalidArgumentError(why); }

// The first value of a body; of an empty one the empty message.
absl::StatusOr<Bytes> first_message(const google::protobuf::Descriptor* type,
                                    std::string_view body) {
  // What is plain is one value and nothing behind it.
  if (const auto plain = plain_from_json(type, body)) return Bytes::copy(*plain);
  JsonScanner scanner;
  size_t used = 0;
  JsonScanner::Step step = scanner.feed(body, &used);
  if (step == JsonScanner::Step::kNeedMore) step = scanner.end();
  if (step == JsonScanner::Step::kBad) return bad_json(scanner.error());
  if (step == JsonScanner::Step::kNeedMore) return Bytes();
  return from_json(type, body.substr(0, used));
}

}  // namespace

void JsonCall::whole_body(Bytes body) {
  if (over()) return;
  if (body.size() > JsonWork::kShort) return convert(body.str(), true);
  take(first_message(route_.method->input_type(), body));
}

void JsonCall::body(std::string_view piece) {
  if (input_over_ || over()) return;
  forget_taken();
  input_.append(piece);
  read_input();
}

void JsonCall::body_end() {
  body_ended_ = true;
  if (!over()) read_input();
}

void JsonCall::body_aborted() {
  if (!over()) gone();
}

void JsonCall::on_reading(bool on) {
  handler_reads_ = on;
  settle_reading();
  if (on) {
    // Not from inside the handler.
    reply_->loop().post([self = shared_from_this()] {
      if (!self->over()) self->read_input();
    });
  }
}

void JsonCall::settle_reading() {
  if (over()) return;
  reply_->set_reading(!converting_ && !turn_over_ && handler_reads_);
  reply_->hold(input_.empty() ? 0 : input_.capacity());
}

// Costs no more than the values did, however many there are in a piece.
void JsonCall::forget_taken() {
  if (taken_ == input_.size()) {
    if (input_.capacity() > kKept) std::string().swap(input_);
    input_.clear();
    taken_ = scanned_ = 0;
  } else if (taken_ > input_.size() / 2) {
    input_.erase(0, taken_);
    scanned_ -= std::exchange(taken_, 0);
  }
}

void JsonCall::read_input() {
  const size_t most = net::json_body_limit(route_.entry->options.max_request_bytes);
  for (int left = kMostInATurn; !input_over_ && !converting_ && !turn_over_ && handler_reads_;
       --left) {
    size_t used = 0;
    JsonScanner::Step step = scanner_.feed(std::string_view(input_).substr(scanned_), &used);
    scanned_ += used;
    if (step == JsonScanner::Step::kNeedMore && input_.size() - taken_ > most) {
      return input_bad(absl::ResourceExhaustedError(cat("the message is longer than ", most)));
    }
    if (step == JsonScanner::Step::kNeedMore) {
      if (!body_ended_) break;
      step = scanner_.end();
      if (step == JsonScanner::Step::kNeedMore) {
        if (!route_.streams_in()) return take(Bytes());
        input_over_ = true;
        call_->half_close();
        break;
      }
    }
    if (step == JsonScanner::Step::kBad) return input_bad(bad_json(scanner_.error()));
    std::string value = input_.substr(taken_, scanned_ - taken_);
    taken_ = scanned_;
    if (left == 0) {
      turn_over_ = true;
      reply_->loop().post([self = shared_from_this()] {
        self->turn_over_ = false;
        if (self->over()) return;
        self->read_input();
      });
    }
    convert(std::move(value), false);
  }
  forget_taken();
  settle_reading();
}

// A stream that is no JSON any more is one that has ended, and its client does not hear why: etcd's
// gateway has nobody to tell.
void JsonCall::input_bad(const absl::Status& why) {
  if (!route_.streams_in()) return fail(why);
  input_over_ = true;
  std::string().swap(input_);
  taken_ = scanned_ = 0;
  call_->half_close();
  settle_reading();
}

// `whole`: a body, of which the first value counts.
void JsonCall::convert(std::string json, bool whole) {
  const auto* type = route_.method->input_type();
  if (json.size() <= JsonWork::kShort) return take(from_json(type, json));
  JsonWork::Account& incoming = work_.lane(reply_->loop()).incoming;
  const size_t size = json.size();
  if (!work_.admits(incoming, from_, size)) return fail(errors::RequestTooManyRequests());
  auto job = [self = shared_from_this(), type, whole, json = std::move(json)](int) mutable {
    KEELSON_FAILPOINT("json_before_convert");
    absl::StatusOr<Bytes> message = whole ? first_message(type, json) : from_json(type, json);
    const size_t size = json.size();
    std::string().swap(json);
    net::Loop& loop = self->reply_->loop();
    loop.post([self = std::move(self), size, message = std::move(message)]() mutable {
      self->work_.lane(self->reply_->loop()).incoming.remove(self->from_, size);
      self->converting_ = false;
      if (self->over()) return;
      self->take(std::move(message));
      if (self->over()) return;
      self->read_input();
    });
  };
  if (!work_.workers().run(from_, std::move(job))) return fail(errors::RequestTooManyRequests());
  incoming.add(from_, size);
  converting_ = true;
}

void JsonCall::take(absl::StatusOr<Bytes> message) {
  if (!message.ok()) return input_bad(message.status());
  if (route_.streams_in()) return call_->message(*std::move(message));
  input_over_ = true;
  call_->open();
  call_->message(*std::move(message));
  call_->half_close();
}

}  // namespace keelson::http
