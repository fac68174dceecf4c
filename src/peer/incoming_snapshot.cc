#include "peer/incoming_snapshot.h"

#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "base/size_text.h"
#include "base/text.h"
#include "base/told.h"
#include "peer/snapshot_file.h"
#include "peer/store_files.h"
#include "wire/raft_codec.h"

namespace keelson::peer {

namespace {

// What a worker writes at once.
constexpr size_t kPiece = 256 << 10;
// Of what waits for the disk: above the one the sender is held back, until it is below the other.
constexpr size_t kMuch = 4 << 20;
constexpr size_t kLittle = 1 << 20;

constexpr Answer kTaken{.code = 204};

}  // namespace

IncomingSnapshot::IncomingSnapshot(RunningHub hub, net::HttpReplyRef reply, SnapshotForm form,
                                   std::weak_ptr<IncomingSnapshot>* current)
    : hub_(std::move(hub)), reply_(std::move(reply)), form_(form), current_(current) {}

// --- the body --------------------------------------------------------------------------------

void IncomingSnapshot::take(std::string_view bytes) {
  if (!reply_) return;  // refused; the rest is thrown away
  head_bytes_ += bytes.size();
  if (absl::Status s = decoder_.take(bytes); !s.ok()) {
    return fail(decoder_.answer(), message_of(s));
  }
  // The decoder has the message until it is whole.
  if (reply_) reply_->hold(state_ ? 0 : head_bytes_);
}

void IncomingSnapshot::finish() {
  if (!reply_) return;
  if (absl::Status s = decoder_.finish(); !s.ok()) fail(decoder_.answer(), message_of(s));
}

void IncomingSnapshot::break_off() { put_out("the connection broke"); }

void IncomingSnapshot::put_out(std::string_view why) {
  if (reply_) fail(text_answer(500, cat("failed to save KV snapshot (", why, ")")), why);
}

absl::Status IncomingSnapshot::admit(Hub* hub, const raft::Message& message) {
  if (!hub || !hub->snapshots()) {
    return absl::UnavailableError("this member takes no snapshots now");
  }
  if (form_ == SnapshotForm::kStoreFiles && hub->snapshots()->store_form().empty()) {
    return absl::UnimplementedError("this member takes no store files");
  }
  if (std::optional<Refusal> refusal = hub->judge(message)) {
    refusal_ = refusal->answer;
    return absl::PermissionDeniedError(refusal->reason);
  }
  // A leader sends one at a time, so a second one of the same term means that it gave up the first.
  std::shared_ptr<IncomingSnapshot> other = current_->lock();
  if (!other || other.get() == this || !other->reply_) return absl::OkStatus();
  if (message.term < other->message_.term) {
    return absl::AbortedError("a snapshot of a newer leader is coming");
  }
  other->put_out("a newer snapshot is coming");
  return absl::OkStatus();
}

absl::Status IncomingSnapshot::begin(raft::Message message) {
  Hub* hub = hub_();
  if (absl::Status s = admit(hub, message); !s.ok()) return s;
  message_ = std::move(message);
  *current_ = weak_from_this();
  const Context& context = hub->context();
  began_ = context.loop.now();
  const size_t size = wire::wire_size(message_);
  context.observer.received(hub->counted(message_.from), size);
  context.observer.snapshot_receive_began(hub->counted(message_.from));
  if (take_line(&context.lines, kUsualLine)) {
    log::info("receiving database snapshot",
              {{"local-member-id", id_text(context.self().value)},
               {"remote-snapshot-sender-id", id_text(message_.from.value)},
               {"incoming-snapshot-index", message_.snapshot->metadata.index.value},
               {"incoming-snapshot-message-size-bytes", size},
               {"incoming-snapshot-message-size", size_text(size)}});
  }
  IncomingState::Parts parts{.workers = &context.workers,
                             .loop = &context.loop,
                             .home = hub->snapshots(),
                             .at = message_.snapshot->metadata};
  if (form_ == SnapshotForm::kStoreFiles) {
    state_ = std::make_shared<StoreFiles>(std::move(parts));
  } else {
    state_ = std::make_shared<SnapshotFile>(std::move(parts));
  }
  // Nothing is told once it is cancelled, which is before we go.
  state_->on_written([this](const absl::Status& status) { written(status); });
  return absl::OkStatus();
}

absl::Status IncomingSnapshot::write(std::string_view bytes) {
  buffer_.append(bytes);
  if (buffer_.size() < kPiece) return absl::OkStatus();
  hand_on();
  if (state_->waiting() >= kMuch) reply_->set_reading(false);
  return absl::OkStatus();
}

void IncomingSnapshot::hand_on() { state_->write(std::exchange(buffer_, {})); }

void IncomingSnapshot::written(const absl::Status& status) {
  if (!status.ok()) {
    return fail(text_answer(500, cat("failed to save KV snapshot (", message_of(status), ")")),
                message_of(status));
  }
  if (reply_ && state_->waiting() <= kLittle) reply_->set_reading(true);
}

// --- the store -------------------------------------------------------------------------------

absl::Status IncomingSnapshot::end() {
  hand_on();
  auto self = shared_from_this();
  state_->finish(
      [self] { self->saved(); },
      [self](absl::StatusOr<node::ReceivedState> state) { self->made(std::move(state)); });
  return absl::OkStatus();
}

void IncomingSnapshot::saved() {
  Hub* hub = hub_();
  if (!hub) return;
  hub->context().observer.received(hub->counted(message_.from), state_->size());
  const Duration took = hub->context().loop.now() - began_;
  if (!take_line(&hub->context().lines, kUsualLine)) return;
  log::info("received and saved database snapshot",
            {{"local-member-id", id_text(hub->context().self().value)},
             {"remote-snapshot-sender-id", id_text(message_.from.value)},
             {"incoming-snapshot-index", message_.snapshot->metadata.index.value},
             {"incoming-snapshot-size-bytes", state_->size()},
             {"incoming-snapshot-size", size_text(state_->size())},
             {"download-took", cat(std::chrono::duration<double>(took).count(), "s")}});
}

void IncomingSnapshot::made(absl::StatusOr<node::ReceivedState> state) {
  Hub* hub = hub_();
  if (!hub || !reply_) return;
  if (!state.ok()) {
    const std::string_view why = message_of(state.status());
    return fail(text_answer(500, cat("failed to save KV snapshot (", why, ")")), why);
  }
  net::Loop& loop = hub->context().loop;
  hub->snapshots()->install(message_, *std::move(state), [&loop, self = shared_from_this()] {
    loop.post([self] { self->installed(); });
  });
}

void IncomingSnapshot::installed() {
  Hub* hub = hub_();
  if (!hub || !reply_) return;
  respond(std::exchange(reply_, nullptr), kTaken, id_text(hub->context().identity.cluster.value));
  hub->context().observer.snapshot_receive_ended(hub->counted(message_.from),
                                                 hub->context().loop.now() - began_);
  state_.reset();
}

void IncomingSnapshot::fail(const Answer& answer, std::string_view why) {
  Hub* hub = hub_();
  const bool begun = state_ != nullptr;
  const MemberId from = message_.from;
  if (state_) state_->cancel();
  state_.reset();
  net::HttpReplyRef reply = std::exchange(reply_, nullptr);
  reply->hold(0);
  if (!hub) return respond_not_running(reply);
  const Context& context = hub->context();
  if (take_line(&hub->context().lines, kUsualLine)) {
    log::warn(begun ? "failed to save incoming database snapshot" : "failed to decode Raft message",
              {{"local-member-id", id_text(context.self().value)},
               {"remote-snapshot-sender-id", id_text(from.value)},
               {"error", told(why)}});
  }
  context.observer.receive_failed(hub->counted(from));
  if (begun) context.observer.snapshot_receive_ended(hub->counted(from), std::nullopt);
  respond(reply, refusal_.value_or(answer), id_text(context.identity.cluster.value));
}

}  // namespace keelson::peer
