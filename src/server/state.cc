#include "server/state.h"

#include <fstream>
#include <memory>
#include <utility>

#include "base/errors.h"
#include "base/text.h"
#include "rpc/services.h"
#include "rpc/spans.h"

namespace keelson::server {
namespace {

std::string hex(uint64_t id) { return absl::StrCat(absl::Hex(id)); }

// Brings a counter of ours up to one that a layer below keeps.
void follow(http::Counter& counter, uint64_t value) {
  uint64_t shown = static_cast<uint64_t>(counter.value());
  if (value > shown) counter.add(value - shown);
}

}  // namespace

State::State(node::Node& node, rpc::Context& context)
    : node_(node), context_(context), reads_([&context](JointProbe::Done done) {
        context.lanes().front()->gateway->read({}, std::move(done));
      }) {}

std::vector<http::ServerState::Alarm> State::alarms() const {
  std::vector<Alarm> active;
  if (node_.alarms().no_space() || node_.state().no_space()) active.push_back(Alarm::kNoSpace);
  if (node_.alarms().corrupt()) active.push_back(Alarm::kCorrupt);
  return active;
}

bool State::has_leader() const { return node_.state().leader.load() != 0; }
bool State::is_learner() const { return node_.state().is_learner.load(); }

bool State::log_stalled() const { return node_.state().log_stalled.load(); }

void State::probe_read(bool serializable, absl::AnyInvocable<void(absl::Status)> done) {
  etcdserverpb::RangeRequest told;
  told.set_limit(1);
  told.set_keys_only(true);
  trace::SpanPtr span = rpc::make_own_span(context_.tracer(), told);
  if (!span) return read_once(serializable, std::move(done));
  read_once(serializable,
            [span = std::move(span), done = std::move(done)](absl::Status status) mutable {
              span.reset();
              done(std::move(status));
            });
}

void State::read_once(bool serializable, absl::AnyInvocable<void(absl::Status)> done) {
  rpc::Lane& lane = *context_.lanes().front();
  lane.loop.post([this, &lane, serializable, done = std::move(done)]() mutable {
    auto read = [this, &lane, done = std::move(done)](absl::Status status) mutable {
      if (status.ok()) {
        lane.counts.add({.ranges = 1});
        status = node_.store()
                     .read(*lane.slot)
                     .range(std::string_view("\0", 1), std::string_view("\0", 1),
                            {.limit = 1, .keys_only = true})
                     .status();
      }
      done(std::move(status));
    };
    if (serializable) {
      read(absl::OkStatus());
    } else {
      reads_.ask(std::move(read));
    }
  });
}

std::string State::cluster_version() const { return node_.members().view()->cluster_version; }
std::string State::storage_version() const { return rpc::storage_version(node_); }

void State::raft_status(absl::AnyInvocable<void(std::string)> done) {
  node_.consensus().with_core([done = std::move(done)](raft::RawNode& core) mutable {
    done(raft::to_json(core.status()));
  });
}

// Nobody's read, so none is counted.
void State::when_ready(std::function<void()> ready) {
  net::Loop& loop = context_.lanes().front()->loop;
  loop.post([this, &loop, ready = std::move(ready)]() mutable {
    reads_.ask([this, &loop, ready = std::move(ready)](absl::Status status) mutable {
      if (status.ok() && node_.is_published()) return ready();
      loop.post_after(milliseconds(20),
                      [this, ready = std::move(ready)]() mutable { when_ready(std::move(ready)); });
    });
  });
}

void State::describe(const Config& config, http::Metrics& metrics) {
  metrics.version.set({std::string(kEtcdVersion)}, 1);
  metrics.server_id.set({hex(node_.member().value)}, 1);
  // Not Go; the row is there for those who ask for it.
  metrics.go_version.set({cat("none (C++, GCC ", __VERSION__, ")")}, 1);
  for (const auto& [name, gate] : config.feature_gates) {
    metrics.feature_enabled.set({name, std::string(gate.stage)}, gate.enabled ? 1 : 0);
  }
  metrics.quota_backend_bytes.set(
      config.effective_quota() == UINT64_MAX ? 0 : static_cast<int64_t>(config.effective_quota()));
}

void State::collect(http::Metrics& metrics) {
  node::MemberState& status = node_.state();
  metrics.has_leader.set(has_leader() ? 1 : 0);
  metrics.is_leader.set(node_.is_leader() ? 1 : 0);
  metrics.is_learner.set(is_learner() ? 1 : 0);
  metrics.snapshot_apply_in_progress.set(status.installs.load() ? 1 : 0);
  metrics.proposals_committed.set(static_cast<int64_t>(status.committed.load()));
  metrics.proposals_applied.set(static_cast<int64_t>(status.applied.load()));
  metrics.proposals_pending.set(static_cast<int64_t>(status.proposals_pending.load()));
  follow(metrics.proposals_failed, status.proposals_failed.load());
  follow(metrics.leader_changes_seen, status.leader_changes.load());
  follow(metrics.heartbeat_send_failures, status.heartbeats_late.load());
  follow(metrics.slow_read_indexes, status.slow_read_indexes.load());
  metrics.log_stalled.set(log_stalled() ? 1 : 0);
  follow(metrics.log_stalls, status.log_stalls.load());
  follow(metrics.leaderships_yielded, status.leaderships_yielded.load());
  follow(metrics.read_indexes_failed, status.read_indexes_failed.load());
  if (std::string version = cluster_version(); version.size() > 2) {
    metrics.cluster_version.set({version.substr(0, version.rfind('.'))}, 1);
  }
  metrics.db_total_size.set(static_cast<int64_t>(node_.backend()->size_on_disk()));
  metrics.db_total_size_in_use.set(static_cast<int64_t>(node_.backend()->size_in_use()));
  mvcc::Store& store = node_.store();
  metrics.current_revision.set(static_cast<int64_t>(store.revision()));
  metrics.compact_revision.set(store.compact_revision());  // -1 before the first, as in etcd
  metrics.keys_total.set(static_cast<int64_t>(store.keys()));
  follow(metrics.db_compaction_keys, store.compacted_keys());
  collect_counts(metrics);
  collect_alarms(metrics);
  collect_watches(metrics);
}

void State::collect_watches(http::Metrics& metrics) {
  int64_t streams = 0, watchers = 0, slow = 0, pending = 0, events = 0;
  for (const auto& lane : context_.lanes()) {
    const watch::WatchMetrics& m = lane->watches->metrics();
    streams += m.streams.get();
    watchers += m.watchers.get();
    slow += m.slow_watchers.get();
    pending += m.pending_events.get();
    events += m.events_sent.get();
  }
  metrics.watch_streams.set(static_cast<int64_t>(streams));
  metrics.watchers.set(static_cast<int64_t>(watchers));
  metrics.slow_watchers.set(static_cast<int64_t>(slow));
  metrics.pending_events.set(static_cast<int64_t>(pending));
  follow(metrics.events_total, static_cast<uint64_t>(events));
}

// Each lane that reads or writes counts for itself.
void State::collect_counts(http::Metrics& metrics) {
  uint64_t ranges = node_.op_counts().ranges, txns = node_.op_counts().txns;
  for (const auto& lane : context_.lanes()) {
    ranges += lane->counts.ranges;
    txns += lane->counts.txns;
  }
  follow(metrics.range_total, ranges);
  follow(metrics.txn_total, txns);
  follow(metrics.put_total, node_.op_counts().puts);
  follow(metrics.delete_total, node_.op_counts().deletes);
  metrics.total_put_size.set(static_cast<int64_t>(node_.op_counts().put_bytes));
  follow(metrics.lease_granted, node_.lease_counts().granted);
  follow(metrics.lease_revoked, node_.lease_counts().revoked);
  follow(metrics.lease_renewed, node_.lease_counts().renewed);
  follow(metrics.lease_expired, node_.state().leases_expired.load());
  metrics.auth_revision.set(static_cast<int64_t>(node_.auth().newest()->revision()));
}

// By the member that each is about. An alarm that has gone keeps its row, at 0, as in etcd.
void State::collect_alarms(http::Metrics& metrics) {
  for (const auto& [labels, value] : metrics.alarms.read()) metrics.alarms.set(labels, 0);
  for (const apply::Alarm& alarm : *node_.alarms().all()) {
    metrics.alarms.set({hex(alarm.member.value), etcdserverpb::AlarmType_Name(alarm.type)}, 1);
  }
}

}  // namespace keelson::server
