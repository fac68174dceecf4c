#include "http/json_call.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/errors.h"
#include "base/log.h"
#include "base/text.h"

namespace keelson::http {
namespace {

// A piece of an answer.
constexpr size_t kPiece = 128 << 10;
// Written ahead of the client.
constexpr size_t kAhead = 64 << 10;
// How long the client may take for one message: what makes its parts holds a revision of the store.
constexpr Duration kLongest = std::chrono::minutes(2);
constexpr Duration kLongestPerMb = std::chrono::seconds(1);

// What a message costs beside its bytes, for each part; and how much counts of bytes that others
// hold as well.
constexpr size_t kPartCost = 48;
// Of the tables of shares: there are not many long messages at a time.
constexpr size_t kRows = 1024;
constexpr size_t kMostShared = 1 << 20;

size_t cost_of(const net::MessageParts& message) {
  if (message.size() <= JsonWork::kShort) return 0;
  return message.parts().size() * kPartCost + message.own() +
         std::min(message.shared(), kMostShared);
}

}  // namespace

JsonWork::JsonWork(int loops, std::shared_ptr<net::HeldBudgets> budgets,
                   net::CallObserver* observer, net::CallRecorder* recorder, trace::Tracer* tracer)
    : budgets_(std::move(budgets)),
      observer_(observer),
      recorder_(recorder),
      tracer_(tracer),
      lanes_(static_cast<size_t>(loops)),
      workers_({.name = "json",
                .threads = 2,
                .threads_per_connection = 1,
                .max_waiting = 1024,
                .max_waiting_of_connection = 128}) {}

JsonWork::~JsonWork() {
  // What was on its way when the loops stopped.
  for (const std::unique_ptr<Lane>& lane : lanes_) {
    if (!lane) continue;
    lane->incoming.clear();
    lane->outgoing.clear();
  }
}

JsonWork::Account::Account(std::shared_ptr<net::HeldBudget> budget, net::Loop* loop, size_t most,
                           net::Holder* holder)
    : held_(std::move(budget), loop, most, holder), shares_(static_cast<int64_t>(most), kRows) {}

LaneShares::Verdict JsonWork::Account::ask(const Origin& from, size_t more) {
  using enum LaneShares::Verdict;
  const bool empty = shares_.total() == 0;
  const auto verdict = empty ? kYes : shares_.ask(from, static_cast<int64_t>(more));
  return verdict == kYes && !held_.admits(more) ? kFull : verdict;
}

void JsonWork::Account::add(const Origin& from, size_t bytes) {
  if (bytes == 0) return;
  held_.change(0, bytes);
  shares_.add(from, static_cast<int64_t>(bytes));
}

void JsonWork::Account::remove(const Origin& from, size_t bytes) {
  if (bytes == 0) return;
  held_.change(bytes, 0);
  shares_.remove(from, static_cast<int64_t>(bytes));
  CHECK(static_cast<size_t>(shares_.total()) == held_.bytes());
}

bool JsonWork::admits(Account& account, const Origin& from, size_t more) {
  const LaneShares::Verdict verdict = account.ask(from, more);
  if (verdict == LaneShares::Verdict::kYes) return true;
  (verdict == LaneShares::Verdict::kFull ? full_ : over_share_).fetch_add(1);
  return false;
}

JsonWork::Lane& JsonWork::lane(net::Loop& loop) {
  constexpr size_t kIncoming = size_t{64} << 20, kOutgoing = size_t{256} << 20;
  std::unique_ptr<Lane>& lane = lanes_[static_cast<size_t>(loop.number())];
  if (!lane) {
    net::Holder* holder = this;
    lane.reset(new Lane{{budgets_->incoming, &loop, kIncoming, holder},
                        {budgets_->outgoing, &loop, kOutgoing, holder}});
  }
  return *lane;
}

int http_status(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk:
      return 200;
    case absl::StatusCode::kCancelled:
      return 499;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
      return 400;
    case absl::StatusCode::kDeadlineExceeded:
      return 504;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kAborted:
      return 409;
    case absl::StatusCode::kPermissionDenied:
      return 403;
    case absl::StatusCode::kUnauthenticated:
      return 401;
    case absl::StatusCode::kResourceExhausted:
      return 429;
    case absl::StatusCode::kUnimplemented:
      return 501;
    case absl::StatusCode::kUnavailable:
      return 503;
    default:
      return 500;
  }
}

net::HttpResponse error_response(const absl::Status& status, std::vector<net::HttpField> fields) {
  net::HttpResponse response;
  response.status = http_status(status.code());
  response.fields = std::move(fields);
  response.fields.push_back({"Content-Type", "application/json"});
  if (status.code() == absl::StatusCode::kUnauthenticated) {
    response.fields.push_back({"WWW-Authenticate", std::string(message_of(status))});
  }
  response.body = net::MessageParts::copy(json_of(status));
  return response;
}

JsonCall::JsonCall(JsonWork& work, const GatewayRoute& route, std::vector<net::HttpField> fields,
                   net::HttpReplyRef reply)
    : work_(work), route_(route), fields_(std::move(fields)), reply_(std::move(reply)) {}

void JsonCall::start(const net::HttpRequest& head) {
  from_ = {head.peer.client, head.peer.connection};
  absl::StatusOr<GatewayMetadata> metadata = gateway_metadata(head);
  if (!metadata.ok()) return fail(metadata.status());
  call_ = net::InnerCall::make(&reply_->loop(),
                               {.method = route_.entry,
                                .observer = work_.observer(),
                                .recorder = work_.recorder(),
                                .metadata = std::move(metadata->entries),
                                .tracer = work_.tracer(),
                                .address = head.peer.address,
                                .local = head.peer.local,
                                .tls = head.peer.tls,
                                .connection = head.peer.connection,
                                .client = head.peer.client,
                                .timeout = metadata->timeout},
                               shared_from_this());
  ref_ = net::CallRef(call_);
  const std::weak_ptr<JsonCall> weak = weak_from_this();
  // The reply keeps us until it is complete, or there is nobody to take it.
  reply_->on_gone([self = shared_from_this()] { self->gone(); });
  reply_->on_drain([weak] {
    if (auto self = weak.lock()) self->call_->drain();
  });
  reply_->on_writable([weak] {
    auto self = weak.lock();
    if (!self || self->over()) return;
    self->write_output();
    self->call_->moved();
  });
  if (route_.streams_in()) call_->open();
}

void JsonCall::gone() {
  done_ = true;
  input_over_ = true;
  call_->cancel();
  drop_output();
}

void JsonCall::drop_output() {
  JsonWork::Account& outgoing = work_.lane(reply_->loop()).outgoing;
  for (const Waiting& dropped : waiting_) outgoing.remove(from_, dropped.cost);
  waiting_.clear();
  waiting_bytes_ = 0;
  // What is away says so when it is back.
  if (!away_) message_done();
}

// ---- from the call

void JsonCall::on_message(net::MessageParts message) {
  if (over() || overfull_) return;
  const size_t cost = cost_of(message);
  JsonWork::Account& outgoing = work_.lane(reply_->loop()).outgoing;
  if (cost > 0 && !work_.admits(outgoing, from_, cost)) {
    return route_.streams_out() ? end_overfull() : fail(errors::RequestTooManyRequests());
  }
  outgoing.add(from_, cost);
  waiting_bytes_ += message.size();
  waiting_.push_back({std::move(message), cost});
  if (route_.streams_out()) write_output();
}

// The client gets what was let in, and then why there is no more. The handler may be in the middle
// of something.
void JsonCall::end_overfull() {
  overfull_ = true;
  reply_->loop().post([self = shared_from_this()] {
    if (self->finished_ || self->over()) return;
    self->call_->cancel();
    self->on_finish(absl::OkStatus());
  });
}

void JsonCall::on_finish(absl::Status status) {
  finished_ = true;
  status_ = overfull_ ? errors::RequestTooManyRequests() : std::move(status);
  input_over_ = true;
  if (!over()) return write_output();
  drop_output();
}

size_t JsonCall::pending() const {
  return waiting_bytes_ + now_left_ + (over() ? 0 : reply_->pending_bytes());
}

// ---- what goes out

// As far as it goes now: what is written is what the client takes, and what is long is not made
// here.
void JsonCall::write_output() {
  while (!away_ && !over()) {
    if (now_left_ == 0 && !now_.writer) {
      if (waiting_.empty()) {
        if (finished_) end_output();
        return;
      }
      Waiting next = std::move(waiting_.front());
      waiting_.pop_front();
      waiting_bytes_ -= next.message.size();
      now_left_ = next.message.size();
      now_cost_ = next.cost;
      now_.writer =
          std::make_unique<JsonWriter>(route_.method->output_type(), std::move(next.message));
      if (route_.streams_out()) now_.text = "{\"result\":";
      if (now_left_ > JsonWork::kShort) guard_against_slowness(now_left_);
    }
    if (begun_ && reply_->pending_bytes() >= kAhead) return;
    make_piece(kPiece);
  }
}

void JsonCall::make_piece(size_t most) {
  const bool is_short = now_left_ <= JsonWork::kShort;
  auto work = [most](Made made) {
    made.step = made.writer->write(&made.text, most);
    return made;
  };
  Made made = std::exchange(now_, {});
  if (is_short) return took(work(std::move(made)));
  away_ = true;
  work_.workers().go_on(from_,
                        [self = shared_from_this(), work, made = std::move(made)](int) mutable {
                          made = work(std::move(made));
                          net::Loop& loop = self->reply_->loop();
                          loop.post([self = std::move(self), made = std::move(made)]() mutable {
                            self->away_ = false;
                            self->took(std::move(made));
                            self->write_output();
                            if (!self->over()) self->call_->moved();
                          });
                        });
}

void JsonCall::took(Made made) {
  now_ = std::move(made);
  now_left_ = now_.writer->left();
  if (over()) return message_done();
  std::string text = std::exchange(now_.text, {});
  switch (now_.step) {
    case JsonWriter::Step::kMore:
      return write(std::move(text));
    case JsonWriter::Step::kLate:
      if (!text.empty()) write(std::move(text));
      return make_late();
    case JsonWriter::Step::kBad:
      log::error("an answer is no message of its type", {{"path", route_.path}});
      message_done();
      if (!begun_) return fail(absl::InternalError("an answer could not be read"));
      done_ = true;
      return reply_->abort();
    case JsonWriter::Step::kDone:
      break;
  }
  message_done();
  if (route_.streams_out()) text += "}\n";
  if (route_.streams_out() || begun_) return write(std::move(text));
  // A short answer, in one piece.
  net::HttpResponse response = success();
  response.body = net::MessageParts(Bytes::copy(text));
  done_ = true;
  reply_->send(std::move(response));
}

void JsonCall::make_late() {
  if (over()) return;  // what was written last was too much
  away_ = true;
  const Parts::Late* late = now_.writer->late();
  late->maker->make(late->number, [self = shared_from_this(),
                                   keep = late->maker](absl::StatusOr<Bytes> part) mutable {
    net::Loop& loop = self->reply_->loop();
    loop.post([self = std::move(self), part = std::move(part)]() mutable {
      self->away_ = false;
      if (self->over()) return self->message_done();
      if (part.ok()) {
        self->now_.writer->made(*std::move(part));
        return self->write_output();
      }
      log::warn("an answer ends before it was complete",
                {{"method", self->route_.path}, {"error", message_of(part.status())}});
      self->message_done();
      self->done_ = true;
      self->reply_->abort();
    });
  });
}

void JsonCall::message_done() {
  now_ = {};
  now_left_ = 0;
  work_.lane(reply_->loop()).outgoing.remove(from_, std::exchange(now_cost_, 0));
  ++messages_;
}

void JsonCall::write(std::string text) {
  begin();
  reply_->write(net::MessageParts(Bytes::copy(text)));
}

// Once.
net::HttpResponse JsonCall::success() {
  net::HttpResponse response;
  response.fields = std::move(fields_);
  response.fields.push_back({"Content-Type", "application/json"});
  response.fields.push_back({"Grpc-Metadata-Content-Type", "application/grpc"});
  return response;
}

void JsonCall::begin() {
  if (!std::exchange(begun_, true)) reply_->begin(success());
}

// All messages are written, and no more will come.
void JsonCall::end_output() {
  if (!status_.ok() && !route_.streams_out()) return fail(status_);
  done_ = true;
  if (!status_.ok()) {
    std::string line = cat("{\"error\":", json_of(status_), "}\n");
    if (!begun_) {
      net::HttpResponse response = error_response(status_, fields_);
      response.body = net::MessageParts(Bytes::copy(line));
      return reply_->send(std::move(response));
    }
    reply_->write(net::MessageParts(Bytes::copy(line)));
  } else if (!begun_) {
    net::HttpResponse empty;
    empty.fields = fields_;
    reply_->begin(std::move(empty));
  }
  reply_->end();
}

// Instead of an answer, or of the rest of it.
void JsonCall::fail(const absl::Status& status) {
  done_ = true;
  input_over_ = true;
  if (call_) call_->cancel();
  const bool in_message = away_ || now_.writer;
  drop_output();
  if (!begun_) return reply_->send(error_response(status, fields_));
  if (!route_.streams_out() || in_message) return reply_->abort();
  reply_->write(net::MessageParts::copy(cat("{\"error\":", json_of(status), "}\n")));
  reply_->end();
}

void JsonCall::guard_against_slowness(size_t bytes) {
  const Duration most = kLongest + static_cast<int64_t>(bytes >> 20) * kLongestPerMb;
  reply_->loop().post_after(most, [weak = weak_from_this(), message = messages_] {
    auto self = weak.lock();
    if (!self || self->over() || self->messages_ != message) return;
    log::warn("the client takes an answer too slowly", {{"method", self->route_.path}});
    self->reply_->abort();
  });
}

}  // namespace keelson::http
