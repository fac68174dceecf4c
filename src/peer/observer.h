// peer/observer.h
//
// Observer sees the traffic with other members, for metrics (etcd_network_peer_*, …).
//
// Who is named is a member, or nobody for those who only say that they are: others do not make up
//   names for metrics.
// Threads: called on the peer loop. Must be cheap.

#pragma once

#include <cstdint>
#include <optional>

#include "base/clock.h"
#include "base/ids.h"

namespace keelson::peer {

class Observer {
 public:
  virtual ~Observer() = default;
  // Sizes are those of messages, without framing.
  virtual void sent(MemberId to, uint64_t bytes) {}
  virtual void send_failed(MemberId to) {}
  virtual void received(MemberId from, uint64_t bytes) {}
  virtual void receive_failed(MemberId from) {}
  // The connection with `remote` stands now, or no more.
  virtual void active(MemberId remote, bool is_active) {}
  virtual void known(MemberId remote, bool is_known) {}
  virtual void round_trip(MemberId to, Duration time) {}

  virtual void snapshot_send_began(MemberId to) {}
  // `took` is set if it arrived.
  virtual void snapshot_send_ended(MemberId to, std::optional<Duration> took) {}
  virtual void snapshot_receive_began(MemberId from) {}
  virtual void snapshot_receive_ended(MemberId from, std::optional<Duration> took) {}
};

}  // namespace keelson::peer
