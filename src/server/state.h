// server/state.h
//
// State shows the running member to the HTTP handlers and the metrics page: health probes go in as
// reads on an io lane, numbers are copied out when somebody scrapes.
//
// Threads: any.
// Lifetime: node and context outlive it.

#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "http/handlers.h"
#include "http/metrics.h"
#include "node/node.h"
#include "rpc/context.h"
#include "server/config.h"
#include "server/joint_probe.h"

namespace keelson::server {

class State final : public http::ServerState {
 public:
  State(node::Node& node, rpc::Context& context);

  std::vector<Alarm> alarms() const override;
  bool has_leader() const override;
  bool is_learner() const override;
  bool log_stalled() const override;
  void probe_read(bool serializable, absl::AnyInvocable<void(absl::Status)> done) override;
  std::string cluster_version() const override;
  std::string storage_version() const override;
  void raft_status(absl::AnyInvocable<void(std::string)> done) override;

  // Calls `ready`, on an io lane, once a linearizable read succeeds (the log is replayed, and there
  // is a leader) and the cluster knows this member.
  void when_ready(std::function<void()> ready);

  // The metrics that never change.
  void describe(const Config& config, http::Metrics& metrics);
  // Runs before each scrape, on one thread at a time.
  void collect(http::Metrics& metrics);

 private:
  void collect_counts(http::Metrics& metrics);
  void collect_alarms(http::Metrics& metrics);
  void collect_watches(http::Metrics& metrics);
  void read_once(bool serializable, absl::AnyInvocable<void(absl::Status)> done);

  node::Node& node_;
  rpc::Context& context_;
  // Of the read index, on the first lane: the member's own, so that nobody is unhealthy because
  // somebody floods; one for all, so that nobody floods by it.
  JointProbe reads_;
};

}  // namespace keelson::server
