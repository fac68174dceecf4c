#include "peer/snapshot_body.h"

#include <optional>
#include <utility>

#include "base/check.h"
#include "base/text.h"

namespace keelson::peer {

namespace {

constexpr std::string_view kNotDecoded = "failed to decode raft message";
constexpr std::string_view kNotSaved = "failed to save KV snapshot";

}  // namespace

Bytes encode_snapshot_head(const raft::Message& message) {
  CHECK(message.type == raft::MessageType::kMsgSnap);
  return encode_message(message);
}

absl::Status SnapshotBodyDecoder::fail(absl::Status status, int code, std::string_view what) {
  answer_ = text_answer(code, cat(what, " (", message_of(status), ")"));
  error_ = std::move(status);
  return error_;
}

absl::Status SnapshotBodyDecoder::take_message(std::string_view* bytes) {
  absl::StatusOr<std::optional<raft::Message>> message = message_.next(bytes);
  if (!message.ok()) return fail(message.status(), 400, kNotDecoded);
  if (!message->has_value()) return absl::OkStatus();
  if ((*message)->type != raft::MessageType::kMsgSnap) {
    answer_ = text_answer(400, "wrong raft message type");
    error_ = absl::InvalidArgumentError("wrong raft message type");
    return error_;
  }
  if (raft::is_empty((*message)->snapshot)) {
    return fail(absl::InvalidArgumentError("a MsgSnap without a snapshot"), 400, kNotDecoded);
  }
  absl::Status begun = sink_->begin(*std::move(*message));
  if (!begun.ok()) return fail(std::move(begun), 500, kNotSaved);
  begun_ = true;
  return absl::OkStatus();
}

absl::Status SnapshotBodyDecoder::take(std::string_view bytes) {
  if (!error_.ok()) return error_;
  if (!begun_) {
    absl::Status status = take_message(&bytes);
    if (!status.ok()) return status;
  }
  if (bytes.empty()) return absl::OkStatus();
  CHECK(begun_);
  absl::Status written = sink_->write(bytes);
  if (!written.ok()) return fail(std::move(written), 500, kNotSaved);
  written_ = true;
  return absl::OkStatus();
}

absl::Status SnapshotBodyDecoder::finish() {
  if (!error_.ok()) return error_;
  if (!begun_) return fail(absl::InvalidArgumentError("unexpected EOF"), 400, kNotDecoded);
  if (!written_) return fail(absl::InvalidArgumentError("no database follows"), 400, kNotSaved);
  absl::Status ended = sink_->end();
  if (!ended.ok()) return fail(std::move(ended), 500, kNotSaved);
  return absl::OkStatus();
}

}  // namespace keelson::peer
