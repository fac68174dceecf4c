// sim/network.h
//
// The network between simulated members: messages take their time, overtake each other, come twice
// or never, and cannot pass where it is cut, in one direction or both. They travel encoded, as
// between real members.
//
// Threads: one. Time is the world's.

#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "backend/backend.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/ids.h"
#include "base/random.h"
#include "raft/types.h"

namespace keelson::sim {

class Network {
 public:
  using StatePtr = std::shared_ptr<const backend::Snapshot>;
  // `state`: of a snapshot, null with everything else.
  using Deliver = std::function<void(MemberId to, raft::Message message, StatePtr state)>;

  // How bad it is; in thousandths.
  struct Weather {
    uint64_t lost = 0;
    uint64_t repeated = 0;
    uint64_t slow = 0;  // takes up to half a second
  };

  Network(Random& random, Deliver deliver) : random_(random), deliver_(std::move(deliver)) {}

  void send(MonotonicTime now, const raft::Message& message, StatePtr state = nullptr);

  // Delivers one message that is due; false: none is.
  bool step(MonotonicTime now);
  std::optional<MonotonicTime> next() const;

  void set_weather(Weather weather) { weather_ = weather; }
  void cut(MemberId from, MemberId to) { cut_.emplace(from, to); }
  void heal() { cut_.clear(); }
  // What is on its way to `member`, or from it, is lost.
  void forget_to(MemberId member);
  void forget_from(MemberId member);

 private:
  struct Packet {
    MemberId from, to;
    Bytes bytes;
    StatePtr state;
  };
  void post(MonotonicTime now, const Packet& packet);
  bool passes(MemberId from, MemberId to) const { return !cut_.contains({from, to}); }

  Random& random_;
  const Deliver deliver_;
  Weather weather_;
  std::set<std::pair<MemberId, MemberId>> cut_;
  std::multimap<MonotonicTime, Packet> on_the_way_;
};

}  // namespace keelson::sim
