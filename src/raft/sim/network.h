// raft/sim/network.h
//
// Network: messages under way. It loses, repeats and reorders them as the options say, and nothing
// passes from one member to another while that way is cut; the other way may be open.

#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <optional>

#include "base/random.h"
#include "raft/sim/options.h"
#include "raft/types.h"

namespace keelson::raft::sim {

inline constexpr size_t kMaxMembers = 8;

class Network {
 public:
  Network(const Options& options, Random& random) : options_(options), random_(random) {}

  struct Flight {
    Message message;
    uint64_t sent = 0;
    bool lost = false;  // as take() hands it out
  };

  void send(Message message, uint64_t now);
  // The next that arrives, or is found to be lost.
  std::optional<Flight> take(uint64_t now);
  size_t in_flight() const { return flights_.size(); }

  void cut(MemberId from, MemberId to) { cut_[from.value][to.value] = true; }
  void heal() { cut_ = {}; }
  // From now on nothing is lost, repeated or late.
  void calm_down();

 private:
  bool chance(int per_thousand) {
    return per_thousand > 0 && random_.below(1000) < static_cast<uint64_t>(per_thousand);
  }

  Options options_;
  Random& random_;
  std::deque<Flight> flights_;
  std::array<std::array<bool, kMaxMembers>, kMaxMembers> cut_{};
};

}  // namespace keelson::raft::sim
