#include "server/peer_metrics.h"

#include "peer/headers.h"

namespace keelson::server {

namespace {

std::string text(MemberId member) { return peer::id_text(member.value); }

}  // namespace

// As in etcd 3.7, a member knows itself.
void PeerMetrics::set_local(MemberId local) {
  local_ = text(local);
  metrics_.known_peers.set({local_, local_}, 1);
}

void PeerMetrics::collect() {
  std::lock_guard lock(mutex_);
  for (const auto& [member, sums] : sums_) {
    const http::Labelled::Values who = {text(member)};
    metrics_.peer_sent_bytes.set(who, static_cast<double>(sums.sent));
    metrics_.peer_received_bytes.set(who, static_cast<double>(sums.received));
    // As in etcd there is no row before the first.
    if (sums.send_failures > 0) {
      metrics_.peer_sent_failures.set(who, static_cast<double>(sums.send_failures));
    }
    if (sums.receive_failures > 0) {
      metrics_.peer_received_failures.set(who, static_cast<double>(sums.receive_failures));
    }
  }
}

void PeerMetrics::sent(MemberId to, uint64_t bytes) {
  std::lock_guard lock(mutex_);
  sums_[to].sent += bytes;
}

void PeerMetrics::send_failed(MemberId to) {
  std::lock_guard lock(mutex_);
  ++sums_[to].send_failures;
}

void PeerMetrics::received(MemberId from, uint64_t bytes) {
  std::lock_guard lock(mutex_);
  sums_[from].received += bytes;
}

void PeerMetrics::receive_failed(MemberId from) {
  std::lock_guard lock(mutex_);
  ++sums_[from].receive_failures;
}

void PeerMetrics::active(MemberId remote, bool is_active) {
  metrics_.active_peers.add({local_, text(remote)}, is_active ? 1 : -1);
  if (!is_active) metrics_.disconnected_peers.add({local_, text(remote)});
}

void PeerMetrics::known(MemberId remote, bool is_known) {
  metrics_.known_peers.set({local_, text(remote)}, is_known ? 1 : 0);
}

void PeerMetrics::round_trip(MemberId to, Duration time) {
  metrics_.peer_round_trip_time.observe(text(to), time);
}

void PeerMetrics::snapshot_send_began(MemberId to) {
  metrics_.snapshot_sends_inflight.add({text(to)});
}

void PeerMetrics::snapshot_send_ended(MemberId to, std::optional<Duration> took) {
  metrics_.snapshot_sends_inflight.add({text(to)}, -1);
  if (!took) return metrics_.snapshot_send_failures.add({text(to)});
  metrics_.snapshot_send_success.add({text(to)});
  metrics_.snapshot_send_duration.observe(text(to), *took);
}

void PeerMetrics::snapshot_receive_began(MemberId from) {
  metrics_.snapshot_receives_inflight.add({text(from)});
}

void PeerMetrics::snapshot_receive_ended(MemberId from, std::optional<Duration> took) {
  metrics_.snapshot_receives_inflight.add({text(from)}, -1);
  if (!took) return metrics_.snapshot_receive_failures.add({text(from)});
  metrics_.snapshot_receive_success.add({text(from)});
  metrics_.snapshot_receive_duration.observe(text(from), *took);
}

}  // namespace keelson::server
