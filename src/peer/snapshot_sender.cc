#include "peer/snapshot_sender.h"

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
  sending_.emplace();
  sending_->head = encode_snapshot_head(message);
  sending_->message = std::move(message);
  sending_->began = context_.loop.now();
  sending_->source =
      std::make_shared<SnapshotSource>(&context_.workers, &context_.loop, std::move(state));
  context_.observer.snapshot_send_began(remote_);
  // Nothing comes of a source once it is cancelled, which is before we go.
  sending_->source->plan([this](absl::StatusOr<uint64_t> size) { planned(std::move(size)); });
}

void SnapshotSender::planned(absl::StatusOr<uint64_t> size) {
  CHECK(sending_.has_value());
  if (!size.ok()) return failed(size.status());
  sending_->size = sending_->head.size() + *size;
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
  request.target = std::string(kSnapshotPath);
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
                                            cat(sending_->url, kSnapshotPath));
  if (verdict.outcome == Outcome::kAccepted) return arrived();
  log_refusal(context_, remote_, verdict, answer->head.field("X-Etcd-Cluster-Id"));
  failed(absl::UnavailableError(verdict.text));
  // Last: this may be the end of us.
  if (verdict.outcome == Outcome::kMemberRemoved) context_.removed();
}

void SnapshotSender::arrived() {
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
  end();
  status_.deactivate({"post", "sendMsgSnap", message_of(why)});
  context_.observer.send_failed(remote_);
  context_.receiver.unreachable(remote_);
  context_.receiver.snapshot_sent(remote_, false);
}

void SnapshotSender::end() {
  sending_->source->cancel();
  if (sending_->exchange) sending_->exchange->cancel();
  sending_.reset();
  context_.observer.snapshot_send_ended(remote_, std::nullopt);
}

}  // namespace keelson::peer
