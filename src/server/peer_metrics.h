// server/peer_metrics.h
//
// PeerMetrics carries what the network sees of other members into the metrics.
//
// Threads: as peer/observer.h, updates on the peer loop; collect() on any. A lock guards the sums,
//   since a scrape reads them.
// Lifetime: the metrics outlive it, and it outlives the network.

#pragma once

#include <map>
#include <mutex>
#include <string>

#include "http/metrics.h"
#include "peer/observer.h"

namespace keelson::server {

class PeerMetrics final : public peer::Observer {
 public:
  explicit PeerMetrics(http::Metrics& metrics) : metrics_(metrics) {}
  // Who this member is. Before the network starts.
  void set_local(MemberId local);

  // What comes with every message is summed up here, and shown when somebody scrapes.
  void collect();

  void sent(MemberId to, uint64_t bytes) override;
  void send_failed(MemberId to) override;
  void received(MemberId from, uint64_t bytes) override;
  void receive_failed(MemberId from) override;
  void active(MemberId remote, bool is_active) override;
  void known(MemberId remote, bool is_known) override;
  void round_trip(MemberId to, Duration time) override;
  void snapshot_send_began(MemberId to) override;
  void snapshot_send_ended(MemberId to, std::optional<Duration> took) override;
  void snapshot_receive_began(MemberId from) override;
  void snapshot_receive_ended(MemberId from, std::optional<Duration> took) override;

 private:
  struct Sums {
    uint64_t sent = 0, send_failures = 0, received = 0, receive_failures = 0;
  };

  http::Metrics& metrics_;
  std::string local_;
  std::mutex mutex_;
  std::map<MemberId, Sums> sums_;
};

}  // namespace keelson::server
