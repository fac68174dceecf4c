#include "node/relays.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "base/text.h"
#include "node/log_storage.h"

namespace keelson::node {
namespace {

// By what the core knows: the member hears of it only with the next work that comes out.
bool can_go(const raft::RawNode& core, const raft::Message& message) {
  const raft::BasicStatus now = core.basic_status();
  if (now.soft_state.lead == raft::kNobody) return false;
  if (now.soft_state.state != raft::StateType::kLeader) return true;
  if (now.lead_transferee != raft::kNobody) return false;
  if (!now.change_pending) return true;
  return std::none_of(message.entries.begin(), message.entries.end(),
                      [](const raft::Entry& entry) { return raft::is_conf_change(entry.type); });
}

uint64_t bytes_of(const raft::Message& message) {
  uint64_t bytes = sizeof message;
  for (const raft::Entry& entry : message.entries) bytes += size_of(entry);
  return bytes;
}

}  // namespace

bool Relays::hold(const raft::RawNode& core, MonotonicTime now, const raft::Message& message) {
  if (message.type != raft::MessageType::kMsgProp) return false;
  if (held_.empty() && can_go(core, message)) return false;
  const uint64_t bytes = bytes_of(message);
  if (held_.size() >= kMostMessages || bytes_ + bytes > kMostBytes) return true;
  CHECK(held_.empty() || held_.back().until <= now + kMostTime);
  held_.push_back({message, bytes, now + kMostTime});
  bytes_ += bytes;
  CHECK(bytes_ <= kMostBytes);
  CHECK(held_.size() <= kMostMessages);
  return true;
}

void Relays::release(raft::RawNode& core, MonotonicTime now) {
  while (!held_.empty()) {
    if (held_.front().until <= now) {
      drop_first();
      continue;
    }
    if (!can_go(core, held_.front().message)) return;
    absl::Status taken = core.step(std::move(held_.front().message));
    if (!taken.ok()) log::debug("a proposal was not taken", {{"error", message_of(taken)}});
    drop_first();
  }
}

void Relays::drop_first() {
  CHECK(!held_.empty());
  CHECK(bytes_ >= held_.front().bytes);
  bytes_ -= held_.front().bytes;
  held_.pop_front();
  CHECK(held_.empty() == (bytes_ == 0));
}

}  // namespace keelson::node
