// http/metrics.h
//
// Every number that /metrics shows, under etcd's exact names, labels and buckets (source: the
// metrics.go files of etcd v3.7.1; docs/compatibility.md lists which have meaning here).
//
// Place: owned by the program's wiring, which hands the layers below plain callbacks or copies
//   their own counts in when somebody scrapes (on_scrape): those layers know nothing of metrics.
// Threads: instruments may be updated from any thread (instruments.h says what that costs).
//   Labelled gauges and counters take a lock and are for rare events.
// Lifetime: outlives the lanes that count into it.

#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/grpc_metrics.h"
#include "http/instruments.h"

namespace keelson::http {

// Gauges or counters told apart by label values, in the order of the family's label names.
// For rare updates: each takes a lock.
class Labelled {
 public:
  using Values = std::vector<std::string>;
  void set(const Values& labels, double value);
  void add(const Values& labels, double amount = 1);
  std::map<Values, double> read() const;

 private:
  mutable std::mutex mutex_;
  std::map<Values, double> values_;
};

// Histograms told apart by one combination of a few label values, all made beforehand.
class LabelledHistogram {
 public:
  LabelledHistogram(std::vector<std::vector<std::string>> combinations,
                    const std::vector<double>& bounds);
  // `which` is the position in `combinations`.
  void observe(size_t which, Duration took, uint64_t times = 1) {
    histograms_[which]->observe(took, times);
  }
  size_t size() const { return combinations_.size(); }
  const std::vector<std::string>& labels(size_t which) const { return combinations_[which]; }
  const Histogram& histogram(size_t which) const { return *histograms_[which]; }

 private:
  const std::vector<std::vector<std::string>> combinations_;
  std::vector<std::unique_ptr<Histogram>> histograms_;
};

// Histograms told apart by a label's value, each made when it is first seen. For rare updates and
// few values, none of them an outsider's choice: each update takes a lock.
class HistogramsByLabel {
 public:
  explicit HistogramsByLabel(std::vector<double> bounds) : bounds_(std::move(bounds)) {}
  void observe(const std::string& label, Duration took);
  void each(const std::function<void(const std::string&, const Histogram&)>& show) const;

 private:
  const std::vector<double> bounds_;
  mutable std::mutex mutex_;
  std::map<std::string, std::unique_ptr<Histogram>> histograms_;
};

// etcd_server_client_requests_total: by call type and by the client's own word for its API
// version. That word is outside input, so only the first kVersions different ones are told apart;
// the rest counts as "other".
class ClientRequests {
 public:
  enum Type : size_t { kUnary, kStream };
  static constexpr size_t kVersions = 32;

  ~ClientRequests();
  // Lock-free but for a version seen for the first time. Empty counts as "unknown", as in etcd.
  void add(Type type, std::string_view client_api_version);

  struct Row {
    std::string type;
    std::string version;
    double value;
  };
  std::vector<Row> read() const;

 private:
  struct Entry {
    explicit Entry(std::string v) : version(std::move(v)) {}
    const std::string version;
    Counter counters[2];
  };
  Entry& entry(std::string_view version);

  std::array<std::atomic<Entry*>, kVersions> entries_{};  // filled from the front
  Entry other_{"other"};
  std::mutex growing_;
};

// Positions in Metrics::request_duration: by type, then success false/true.
enum class RequestType : size_t {
  kRange,
  kReadonlyTxn,
  kPut,
  kDeleteRange,
  kTxn,
  kCompaction,
  kLeaseGrant,
  kLeaseRevoke,
  kLeaseCheckpoint,
  kAlarm,
  kAuthenticate,
  kClusterVersionSet,
  kClusterMemberAttrSet,
  kAuthEnable,
  kAuthDisable,
  kAuthStatus,
  kAuthUserAdd,
  kAuthUserDelete,
  kAuthUserGet,
  kAuthUserChangePassword,
  kAuthUserGrantRole,
  kAuthUserRevokeRole,
  kAuthUserList,
  kAuthRoleList,
  kAuthRoleAdd,
  kAuthRoleDelete,
  kAuthRoleGet,
  kAuthRoleGrantPermission,
  kAuthRoleRevokePermission,
  kDowngradeInfoSet,
  kDowngradeVersionTest,
  kOther,
  kCount
};

struct MetricsOptions {
  bool extensive = false;  // --metrics=extensive
};

struct Metrics {
  explicit Metrics(const MetricsOptions& options);

  void observe_request(RequestType type, bool success, Duration took) {
    request_duration.observe(static_cast<size_t>(type) * 2 + (success ? 1 : 0), took);
  }
  // `op` as etcd names applies: Put, DeleteRange, Txn, …: the same list as RequestType.
  void observe_apply(RequestType op, bool success, Duration took, uint64_t times = 1) {
    apply_duration.observe(static_cast<size_t>(op) * 2 + (success ? 1 : 0), took, times);
  }

  GrpcMetrics grpc;
  ClientRequests client_requests;

  // Server.
  Gauge has_leader, is_leader, is_learner, snapshot_apply_in_progress;
  Counter leader_changes_seen, heartbeat_send_failures, learner_promote_successes;
  Gauge proposals_committed, proposals_applied, proposals_pending;
  Counter proposals_failed, slow_apply, slow_read_indexes, read_indexes_failed, lease_expired;
  Gauge quota_backend_bytes;
  LabelledHistogram request_duration;  // etcd_server_request_duration_seconds
  LabelledHistogram apply_duration;    // etcd_server_apply_duration_seconds
  LabelledHistogram range_duration;    // 0 failure, 1 success
  Labelled version;                    // {server_version}
  Labelled go_version;                 // {server_go_version}
  Labelled server_id;                  // {hex id}
  Labelled feature_enabled;            // {name, stage}
  Labelled cluster_version;            // {cluster_version}
  Labelled alarms;                     // {hex id, alarm type}
  Labelled learner_promote_failures;   // {Reason}
  Counter health_success, health_failures;
  Labelled healthcheck;         // {type, name}
  Labelled healthchecks_total;  // {type, name, status}

  // Network.
  Counter client_grpc_sent_bytes, client_grpc_received_bytes;
  Labelled stream_failures;  // {Type: send|receive, API: watch|lease-keepalive}
  Labelled known_peers, active_peers, disconnected_peers;                     // {Local, Remote}
  Labelled peer_sent_bytes, peer_sent_failures;                               // {To}
  Labelled peer_received_bytes, peer_received_failures;                       // {From}
  HistogramsByLabel peer_round_trip_time{exponential_bounds(0.0001, 2, 16)};  // To
  Labelled snapshot_send_success, snapshot_send_failures, snapshot_sends_inflight;  // {To}
  Labelled snapshot_receive_success, snapshot_receive_failures,
      snapshot_receives_inflight;                                               // {From}
  HistogramsByLabel snapshot_send_duration{exponential_bounds(0.1, 2, 10)};     // To
  HistogramsByLabel snapshot_receive_duration{exponential_bounds(0.1, 2, 10)};  // From
  Gauge accept_paused, accept_pauses;  // for want of descriptors: now (0 or 1), how often
  Labelled held_bytes, held_limit_bytes, held_refused, held_given_up;  // {what}
  Labelled requests_refused;                                           // {what, why}
  Gauge handshakes_running, handshakes_waiting, handshakes_asked, handshakes_put_out;
  Gauge log_stalled;            // the log's device does not get on, 0 or 1
  Counter log_stalls;           // how often that has begun
  Counter leaderships_yielded;  // for it

  // Of the access log; nothing without one.
  Labelled access_lines;     // {what: written|dropped}
  Labelled spans;            // {outcome}
  bool has_archive = false;  // set before the first scrape; only then there are rows of these
  Gauge archive_healthy, archive_index, archive_revision, archive_time_ms, archive_lag_ms,
      archive_bytes, archive_snapshots, archive_snapshot_time_ms;
  Counter archive_gaps, archive_failures;

  Counter pages_served;  // of metrics
  Gauge pages_in_flight;

  // Log and backend.
  Histogram wal_fsync, wal_write, snap_fsync, snap_save;
  Gauge wal_write_bytes;  // a gauge in etcd, although it only grows
  Histogram backend_commit, backend_defrag, backend_snapshot;
  Gauge defragmentations;  // under way: several may be

  // Store.
  Counter range_total, put_total, delete_total, txn_total;
  Gauge db_total_size, db_total_size_in_use, db_open_read_transactions;
  Histogram hash_duration, hash_rev_duration;
  Gauge current_revision, compact_revision, keys_total, total_put_size;
  Gauge watch_streams, watchers, slow_watchers, pending_events;
  Counter events_total, db_compaction_keys;
  Histogram index_compaction_pause_ms, db_compaction_pause_ms, db_compaction_total_ms;
  Gauge db_compaction_last;
  Histogram watch_send, watch_send_per_event, watch_control, watch_progress;

  // Leases and auth.
  Counter lease_granted, lease_revoked, lease_renewed;
  Histogram lease_ttl;  // raw unit: seconds
  Gauge auth_revision;

  // Runs before each scrape, on the scraper's thread: copy values in that another layer owns.
  // Set before the first scrape.
  std::function<void(Metrics&)> on_scrape;
};

// The whole page in Prometheus' text format 0.0.4, process_* and os_fd_* included.
std::string metrics_page(Metrics& metrics);

}  // namespace keelson::http
