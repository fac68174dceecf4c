#include "raft/sim/network.h"

#include <algorithm>
#include <utility>

namespace keelson::raft::sim {
namespace {

constexpr size_t kMaxInFlight = 300;

}  // namespace

void Network::send(Message message, uint64_t now) {
  if (chance(options_.duplicate)) flights_.push_back({message, now});
  const bool lost = chance(options_.drop);
  flights_.push_back({std::move(message), now, lost});
}

std::optional<Network::Flight> Network::take(uint64_t now) {
  if (flights_.empty()) return std::nullopt;
  size_t at = 0;
  const bool overloaded = flights_.size() > kMaxInFlight;
  if (!overloaded && chance(options_.reorder)) at = random_.below(flights_.size());
  Flight flight = std::move(flights_[at]);
  if (at > 0) flights_[at] = std::move(flights_.front());
  flights_.pop_front();
  if (overloaded || now - flight.sent > options_.max_delay) flight.lost = true;
  if (cut_[flight.message.from.value][flight.message.to.value]) flight.lost = true;
  return flight;
}

void Network::calm_down() {
  heal();
  options_.drop = options_.duplicate = options_.reorder = 0;
  options_.max_delay = ~uint64_t{0};
}

}  // namespace keelson::raft::sim
