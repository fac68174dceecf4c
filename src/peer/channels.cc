#include "peer/channels.h"

#include <utility>

#include "base/check.h"
#include "wire/raft_codec.h"

namespace keelson::peer {

Channel channel_for(const raft::Message& message, OpenStreams open) {
  if (message.to == raft::kNobody) return Channel::kNone;
  if (message.type == raft::MessageType::kMsgSnap) return Channel::kSnapshot;
  if (message.type == raft::MessageType::kMsgApp && open.append) return Channel::kAppendStream;
  return open.message ? Channel::kMessageStream : Channel::kPipeline;
}

LossReport report_loss(const raft::Message& message, Channel channel) {
  if (channel == Channel::kNone) return {};
  return {.unreachable = true, .snapshot_failed = message.type == raft::MessageType::kMsgSnap};
}

bool Outbox::push(raft::Message message) {
  if (waiting_.size() >= limits_.messages) return false;
  const size_t size = wire::wire_size(message);
  if (!waiting_.empty() && (bytes_ >= limits_.bytes || size > limits_.bytes - bytes_)) return false;
  waiting_.push_back({std::move(message), size});
  bytes_ += size;
  check_invariants();
  return true;
}

std::optional<raft::Message> Outbox::pop() {
  if (waiting_.empty()) return std::nullopt;
  Waiting oldest = std::move(waiting_.front());
  waiting_.pop_front();
  CHECK(oldest.size <= bytes_);
  bytes_ -= oldest.size;
  check_invariants();
  return std::move(oldest.message);
}

bool Outbox::clear() {
  const bool lost = !waiting_.empty();
  waiting_.clear();
  bytes_ = 0;
  return lost;
}

void Outbox::check_invariants() const {
  CHECK(waiting_.size() <= limits_.messages);
  if (waiting_.size() > 1) CHECK(bytes_ <= limits_.bytes);
  if (waiting_.empty()) CHECK(bytes_ == 0);
}

}  // namespace keelson::peer
