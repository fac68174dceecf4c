#include "sim/network.h"

#include <utility>

#include "base/check.h"
#include "wire/raft_codec.h"

namespace keelson::sim {

void Network::send(MonotonicTime now, const raft::Message& message, StatePtr state) {
  const Packet packet{message.from, message.to, wire::encode(message), std::move(state)};
  if (!passes(packet.from, packet.to) || random_.below(1000) < weather_.lost) return;
  post(now, packet);
  if (random_.below(1000) < weather_.repeated) post(now, packet);
}

void Network::post(MonotonicTime now, const Packet& packet) {
  Duration takes = std::chrono::microseconds(50 + random_.below(2000));
  if (random_.below(1000) < weather_.slow) takes = std::chrono::milliseconds(random_.below(500));
  on_the_way_.emplace(now + takes, packet);
}

bool Network::step(MonotonicTime now) {
  if (on_the_way_.empty() || on_the_way_.begin()->first > now) return false;
  Packet packet = std::move(on_the_way_.begin()->second);
  on_the_way_.erase(on_the_way_.begin());
  if (!passes(packet.from, packet.to)) return true;
  absl::StatusOr<raft::Message> message = wire::decode_message(packet.bytes);
  CHECK(message.ok());
  deliver_(packet.to, *std::move(message), std::move(packet.state));
  return true;
}

std::optional<MonotonicTime> Network::next() const {
  if (on_the_way_.empty()) return std::nullopt;
  return on_the_way_.begin()->first;
}

void Network::forget_to(MemberId member) {
  std::erase_if(on_the_way_, [member](const auto& entry) { return entry.second.to == member; });
}

void Network::forget_from(MemberId member) {
  std::erase_if(on_the_way_, [member](const auto& entry) { return entry.second.from == member; });
}

}  // namespace keelson::sim
