#include "peer/snapshot_sender.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "base/size_text.h"
#include "base/text.h"
#include "peer/handshake.h"
#include "peer/pipeline.h"
#include "peer/snapshot_body.h"

namespace keelson::peer {

namespace {

// What waits for the connection while the next piece is made.
constexpr size_t kAhead = 1 << 20;
constexpr Duration kStall = std::chrono::seconds(30);
constexpr size_t kAnswerSize = 4 << 10;
constexpr Duration kFormPatience = std::chrono::seconds(2);
// Behind the second failure in turn; each later one waits for twice as long.
constexpr Duration kFirstPause = std::chrono::milliseconds(100);

// For the other end to make a store of it, at a rate that a poor disk has.
Duration answer_time(uint64_t size) {
  return std::chrono::seconds(60) + std::chrono::seconds(size / (4 << 20));
}

uint64_t index_of(const raft::Message& message) { return message.snapshot->metadata.index.value; }

}  // namespace

SnapshotSender::SnapshotSender(const Parts& parts)
    : context_(*parts.context),
      remote_(parts.remote),
      status_(*parts.status),
      picker_(*parts.picker) {}

SnapshotSender::~SnapshotSender() {
  if (tell_at_) tell_failure();
  if (!sending_) return;
  end();
  context_.receiver.snapshot_sent(remote_, false);
}

void SnapshotSender::send(raft::Message message, std::shared_ptr<const backend::Snapshot> state) {
  CHECK(!raft::is_empty(message.snapshot));
  if (sending_) {
    log::warn("did not send a database snapshot while another is under way",
              {{"snapshot-index", index_of(message)}, {"remote-peer-id", id_text(remote_.value)}});
    return context_.receiver.snapshot_sent(remote_, false);
  }
  if (tell_at_) tell_failure();
  sending_.emplace();
  sending_->message = std::move(message);
  sending_->state = std::move(state);
  sending_->began = context_.loop.now();
  context_.observer.snapshot_send_began(remote_);
  const bool have_files = context_.snapshots && !context_.snapshots->store_form().empty();
  if (!have_files || std::exchange(store_failed_, false)) return send_database();
  ask_form();
}

// Whoever does not answer in time, or in kind, is sent what everybody takes.
void SnapshotSender::ask_form() {
  absl::StatusOr<net::HttpPlace> place = net::HttpPlace::parse(picker_.pick());
  if (!place.ok()) return send_database();
  net::HttpClientRequest request;
  request.place = *std::move(place);
  request.target = std::string(kStoreFormPath);
  request.fields = context_.fields(std::nullopt);
  request.deadlines = {.whole = kFormPatience};
  sending_->exchange = context_.client.fetch(
      std::move(request), kAnswerSize,
      [this](absl::StatusOr<net::HttpClient::Answer> answer) { form_told(answer); });
}

void SnapshotSender::form_told(const absl::StatusOr<net::HttpClient::Answer>& answer) {
  CHECK(sending_.has_value());
  sending_->exchange = nullptr;
  const bool same =
      answer.ok() && answer->head.status == 200 && answer->body == context_.snapshots->store_form();
  if (same) return send_store();
  send_database();
}

void SnapshotSender::send_store() {
  sending_->path = kStorePath;
  sending_->source =
      std::make_shared<StoreSource>(&context_.workers, &context_.loop, context_.snapshots);
  // Nothing comes of a source once it is cancelled, which is before we go.
  sending_->source->plan([this](absl::StatusOr<SnapshotSource::Plan> plan) {
    CHECK(sending_.has_value());
    if (plan.ok()) return planned(std::move(plan));
    log::warn("cannot send the store's files; sending a database",
              {{"remote-peer-id", id_text(remote_.value)}, {"error", message_of(plan.status())}});
    sending_->source->cancel();
    send_database();
  });
}

void SnapshotSender::send_database() {
  sending_->path = kSnapshotPath;
  sending_->source = std::make_shared<DatabaseSource>(&context_.workers, &context_.loop,
                                                      std::exchange(sending_->state, nullptr));
  sending_->source->plan(
      [this](absl::StatusOr<SnapshotSource::Plan> plan) { planned(std::move(plan)); });
}

void SnapshotSender::planned(absl::StatusOr<SnapshotSource::Plan> plan) {
  CHECK(sending_.has_value());
  if (!plan.ok()) return failed(plan.status());
  // The copy is of a later state.
  if (plan->snapshot) {
    CHECK(plan->snapshot->metadata.index >= sending_->message.snapshot->metadata.index);
    if (plan->snapshot->metadata.term > sending_->message.term) {
      return failed(absl::AbortedError("another term has begun"));
    }
    sending_->message.snapshot = std::move(plan->snapshot);
  }
  let_go_of_state();
  sending_->head = encode_snapshot_head(sending_->message);
  sending_->size = sending_->head.size() + plan->bytes;
  log::info("sending database snapshot", {{"snapshot-index", index_of(sending_->message)},
                                          {"remote-peer-id", id_text(remote_.value)},
                                          {"bytes", sending_->size},
                                          {"size", size_text(sending_->size)}});
  post();
}

void SnapshotSender::post() {
  sending_->url = picker_.pick();
  absl::StatusOr<net::HttpPlace> place = net::HttpPlace::parse(sending_->url);
  if (!place.ok()) return failed(place.status());
  net::HttpClientRequest request;
  request.place = *std::move(place);
  request.method = "POST";
  request.target = std::string(sending_->path);
  request.fields = context_.fields(std::nullopt);
  request.fields.push_back({"Content-Type", "application/octet-stream"});
  request.body = net::MessageParts(sending_->head);
  request.streamed = true;
  request.length = sending_->size;
  request.deadlines = {.head = answer_time(sending_->size), .stall = kStall};
  sending_->exchange = context_.client.fetch(
      std::move(request), kAnswerSize,
      [this](absl::StatusOr<net::HttpClient::Answer> answer) { answered(answer); });
  sending_->exchange->on_writable([this] { make_more(); });
  make_more();
}

void SnapshotSender::make_more() {
  if (sending_->making || sending_->made) return;
  if (sending_->exchange->pending_bytes() >= kAhead) return;
  sending_->making = true;
  sending_->source->next(
      [this](absl::StatusOr<SnapshotSource::Piece> piece) { take(std::move(piece)); });
}

void SnapshotSender::take(absl::StatusOr<SnapshotSource::Piece> piece) {
  CHECK(sending_.has_value());
  sending_->making = false;
  if (!piece.ok()) return failed(piece.status());
  sending_->exchange->write(net::MessageParts(std::move(piece->bytes)));
  sending_->made = piece->last;
  if (sending_->made) return sending_->exchange->end_body();
  make_more();
}

void SnapshotSender::answered(const absl::StatusOr<net::HttpClient::Answer>& answer) {
  CHECK(sending_.has_value());
  if (!answer.ok()) return failed(answer.status());
  const Verdict verdict = judge_post_answer({.code = answer->head.status, .body = answer->body},
                                            cat(sending_->url, sending_->path));
  if (verdict.outcome == Outcome::kAccepted) {
    if (sending_->made) return arrived();
    return failed(absl::UnavailableError("it was answered before all of it was sent"));
  }
  log_refusal(context_, remote_, verdict, answer->head.field("X-Etcd-Cluster-Id"));
  failed(absl::UnavailableError(verdict.text));
  // Last: this may be the end of us.
  if (verdict.outcome == Outcome::kMemberRemoved) context_.removed();
}

void SnapshotSender::arrived() {
  CHECK(sending_->made);
  CHECK(!sending_->making);
  pause_ = Duration(0);
  log::info("sent database snapshot", {{"snapshot-index", index_of(sending_->message)},
                                       {"remote-peer-id", id_text(remote_.value)},
                                       {"bytes", sending_->size},
                                       {"size", size_text(sending_->size)}});
  context_.observer.sent(remote_, sending_->size);
  context_.observer.snapshot_send_ended(remote_, context_.loop.now() - sending_->began);
  sending_.reset();
  status_.activate();
  context_.receiver.snapshot_sent(remote_, true);
}

void SnapshotSender::failed(const absl::Status& why) {
  log::warn("failed to send database snapshot", {{"snapshot-index", index_of(sending_->message)},
                                                 {"remote-peer-id", id_text(remote_.value)},
                                                 {"bytes", sending_->size},
                                                 {"size", size_text(sending_->size)},
                                                 {"error", message_of(why)}});
  picker_.unreachable(sending_->url);
  store_failed_ = sending_->path == kStorePath;
  end();
  status_.deactivate({"post", "sendMsgSnap", message_of(why)});
  context_.observer.send_failed(remote_);
  context_.receiver.unreachable(remote_);
  tell_at_ = context_.loop.now() + pause_;
  pause_ = std::min(std::max(2 * pause_, kFirstPause), kSlowest);
  tick();
}

void SnapshotSender::tick() {
  if (tell_at_ && *tell_at_ <= context_.loop.now()) tell_failure();
}

void SnapshotSender::tell_failure() {
  CHECK(!sending_);
  tell_at_.reset();
  context_.receiver.snapshot_sent(remote_, false);
}

// It may be the last of a store, whose end is no work for the loop.
void SnapshotSender::let_go_of_state() {
  if (!sending_->state) return;
  context_.workers.go_on(reinterpret_cast<uintptr_t>(this),
                         [state = std::exchange(sending_->state, nullptr)](int) {});
}

void SnapshotSender::end() {
  let_go_of_state();
  if (sending_->source) sending_->source->cancel();
  if (sending_->exchange) sending_->exchange->cancel();
  sending_.reset();
  context_.observer.snapshot_send_ended(remote_, std::nullopt);
}

}  // namespace keelson::peer
