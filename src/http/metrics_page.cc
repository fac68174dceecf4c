// Which instrument stands under which name on /metrics.

#include <algorithm>

#include "http/families.h"
#include "http/metrics.h"
#include "http/process_metrics.h"
#include "http/runtime_metrics.h"

namespace keelson::http {
namespace {

void add_server(const Metrics& m, Families& out) {
  out.gauge("etcd_server_has_leader", "1 if a leader is known.", m.has_leader);
  out.gauge("etcd_server_is_leader", "1 if this member leads.", m.is_leader);
  out.gauge("etcd_server_is_learner", "1 if this member is a learner.", m.is_learner);
  out.counter("etcd_server_leader_changes_seen_total", "Changes of leader seen.",
              m.leader_changes_seen);
  out.counter("etcd_server_learner_promote_successes", "Learners promoted here.",
              m.learner_promote_successes);
  out.counters("etcd_server_learner_promote_failures", "Promotions refused here.", {"Reason"},
               m.learner_promote_failures);
  out.counter("etcd_server_heartbeat_send_failures_total", "Heartbeats that left late.",
              m.heartbeat_send_failures);
  out.gauge("etcd_server_snapshot_apply_in_progress_total",
            "1 while a snapshot received is being applied.", m.snapshot_apply_in_progress);
  out.gauge("etcd_server_proposals_committed_total", "Last committed log index.",
            m.proposals_committed);
  out.gauge("etcd_server_proposals_applied_total", "Last applied log index.", m.proposals_applied);
  out.gauge("etcd_server_proposals_pending", "Proposals under way.", m.proposals_pending);
  out.counter("etcd_server_proposals_failed_total", "Proposals that failed.", m.proposals_failed);
  out.counter("etcd_server_slow_apply_total", "Requests slow to apply.", m.slow_apply);
  out.counter("etcd_server_slow_read_indexes_total", "Read indexes that took too long.",
              m.slow_read_indexes);
  out.counter("etcd_server_read_indexes_failed_total", "Read indexes that failed.",
              m.read_indexes_failed);
  out.gauge("etcd_server_quota_backend_bytes", "Size from which writes are refused.",
            m.quota_backend_bytes);
  out.counter("etcd_debugging_server_lease_expired_total", "Leases expired.", m.lease_expired);
}

void add_identity(const Metrics& m, Families& out) {
  out.gauges("etcd_server_version", "1 for the version that runs.", {"server_version"}, m.version);
  out.gauges("etcd_server_go_version", "1 for the language runtime.", {"server_go_version"},
             m.go_version);
  out.gauges("etcd_server_id", "1 for this member's id.", {"server_id"}, m.server_id);
  out.gauges("etcd_server_feature_enabled", "1 for each feature gate that is on.",
             {"name", "stage"}, m.feature_enabled);
  out.gauges("etcd_cluster_version", "1 for the cluster's version.", {"cluster_version"},
             m.cluster_version);
  out.gauges("etcd_debugging_server_alarms", "1 for each active alarm.",
             {"server_id", "alarm_type"}, m.alarms);
}

void add_health(const Metrics& m, Families& out) {
  out.counter("etcd_server_health_success", "Health checks passed.", m.health_success);
  out.counter("etcd_server_health_failures", "Health checks failed.", m.health_failures);
  out.gauges("etcd_server_healthcheck", "Result of each kind of check.", {"type", "name"},
             m.healthcheck);
  out.counters("etcd_server_healthchecks_total", "Checks by kind and result.",
               {"type", "name", "status"}, m.healthchecks_total);
}

void add_requests(const Metrics& m, Families& out) {
  m.grpc.collect(out);
  for (const ClientRequests::Row& row : m.client_requests.read()) {
    out.counter("etcd_server_client_requests_total", "Requests by the client's API version.",
                row.value, {{"type", row.type}, {"client_api_version", row.version}});
  }
  out.histograms("etcd_server_request_duration_seconds", "Time to answer, by kind of request.",
                 {"type", "success"}, m.request_duration);
  out.histograms("etcd_server_apply_duration_seconds", "Time to apply, by kind of request.",
                 {"version", "op", "success"}, m.apply_duration);
  out.histograms("etcd_server_range_duration_seconds", "Time of reads of ranges.", {"success"},
                 m.range_duration);
}

void add_network(const Metrics& m, Families& out) {
  out.counter("etcd_network_client_grpc_sent_bytes_total", "Bytes sent to gRPC clients.",
              m.client_grpc_sent_bytes);
  out.counter("etcd_network_client_grpc_received_bytes_total", "Bytes received of gRPC clients.",
              m.client_grpc_received_bytes);
  out.counters("etcd_network_server_stream_failures_total", "Streams that broke.", {"Type", "API"},
               m.stream_failures);
  out.gauges("etcd_network_known_peers", "1 for each member known.", {"Local", "Remote"},
             m.known_peers);
  out.gauges("etcd_network_active_peers", "1 for each member connected.", {"Local", "Remote"},
             m.active_peers);
  out.counters("etcd_network_disconnected_peers_total", "Connections lost.", {"Local", "Remote"},
               m.disconnected_peers);
  out.counters("etcd_network_peer_sent_bytes_total", "Bytes sent to members.", {"To"},
               m.peer_sent_bytes);
  out.counters("etcd_network_peer_sent_failures_total", "Messages not sent.", {"To"},
               m.peer_sent_failures);
  out.counters("etcd_network_peer_received_bytes_total", "Bytes received of members.", {"From"},
               m.peer_received_bytes);
  out.counters("etcd_network_peer_received_failures_total", "Messages not received.", {"From"},
               m.peer_received_failures);
  out.histograms("etcd_network_peer_round_trip_time_seconds", "Round trips to members.", "To",
                 m.peer_round_trip_time);
}

void add_snapshots(const Metrics& m, Families& out) {
  out.counters("etcd_network_snapshot_send_success", "Snapshots that arrived.", {"To"},
               m.snapshot_send_success);
  out.counters("etcd_network_snapshot_send_failures", "Snapshots that did not.", {"To"},
               m.snapshot_send_failures);
  out.gauges("etcd_network_snapshot_send_inflights_total", "Snapshots being sent.", {"To"},
             m.snapshot_sends_inflight);
  out.histograms("etcd_network_snapshot_send_total_duration_seconds", "Time to send a snapshot.",
                 "To", m.snapshot_send_duration);
  out.counters("etcd_network_snapshot_receive_success", "Snapshots taken.", {"From"},
               m.snapshot_receive_success);
  out.counters("etcd_network_snapshot_receive_failures", "Snapshots not taken.", {"From"},
               m.snapshot_receive_failures);
  out.gauges("etcd_network_snapshot_receive_inflights_total", "Snapshots being received.", {"From"},
             m.snapshot_receives_inflight);
  out.histograms("etcd_network_snapshot_receive_total_duration_seconds",
                 "Time to receive a snapshot.", "From", m.snapshot_receive_duration);
}

void add_disk(const Metrics& m, Families& out) {
  out.histogram("etcd_disk_wal_fsync_duration_seconds", "Time of the log's syncs.", m.wal_fsync);
  out.histogram("etcd_disk_wal_write_duration_seconds", "Time of the log's writes.", m.wal_write);
  out.gauge("etcd_disk_wal_write_bytes_total", "Bytes written to the log.", m.wal_write_bytes);
  out.histogram("etcd_snap_fsync_duration_seconds", "Time of a snapshot file's sync.",
                m.snap_fsync);
  out.histogram("etcd_debugging_snap_save_total_duration_seconds", "Time to save a snapshot file.",
                m.snap_save);
  out.histogram("etcd_disk_backend_commit_duration_seconds", "Time of the backend's commits.",
                m.backend_commit);
  out.histogram("etcd_disk_backend_defrag_duration_seconds", "Time of defragmentations.",
                m.backend_defrag);
  out.histogram("etcd_disk_backend_snapshot_duration_seconds", "Time to send a snapshot.",
                m.backend_snapshot);
  out.gauge("etcd_disk_defrag_inflight", "1 during a defragmentation.",
            std::min(m.defragmentations.value(), 1.0));
}

void add_store(const Metrics& m, Families& out) {
  out.counter("etcd_mvcc_range_total", "Ranges read.", m.range_total);
  out.counter("etcd_mvcc_put_total", "Keys put.", m.put_total);
  out.counter("etcd_mvcc_delete_total", "Keys deleted.", m.delete_total);
  out.counter("etcd_mvcc_txn_total", "Transactions of several operations.", m.txn_total);
  out.gauge("etcd_mvcc_db_total_size_in_bytes", "Size of the database on disk.", m.db_total_size);
  out.gauge("etcd_mvcc_db_total_size_in_use_in_bytes", "Size of what is in use of it.",
            m.db_total_size_in_use);
  out.gauge("etcd_mvcc_db_open_read_transactions", "Reads under way.", m.db_open_read_transactions);
  out.histogram("etcd_mvcc_hash_duration_seconds", "Time of Hash.", m.hash_duration);
  out.histogram("etcd_mvcc_hash_rev_duration_seconds", "Time of HashKV.", m.hash_rev_duration);
  out.gauge("etcd_debugging_mvcc_current_revision", "Newest revision.", m.current_revision);
  out.gauge("etcd_debugging_mvcc_compact_revision", "Revision of the last compaction.",
            m.compact_revision);
  out.gauge("etcd_debugging_mvcc_keys_total", "Keys that are there.", m.keys_total);
  out.gauge("etcd_debugging_mvcc_total_put_size_in_bytes", "Bytes of keys and values put.",
            m.total_put_size);
  out.histogram("etcd_debugging_mvcc_index_compaction_pause_duration_milliseconds",
                "Pauses of the index for compaction.", m.index_compaction_pause_ms);
  out.histogram("etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds",
                "Steps of compactions.", m.db_compaction_pause_ms);
  out.histogram("etcd_debugging_mvcc_db_compaction_total_duration_milliseconds",
                "Time of whole compactions.", m.db_compaction_total_ms);
  out.gauge("etcd_debugging_mvcc_db_compaction_last", "Unix time of the last compaction.",
            m.db_compaction_last);
  out.counter("etcd_debugging_mvcc_db_compaction_keys_total", "Revisions removed.",
              m.db_compaction_keys);
}

void add_watches_and_leases(const Metrics& m, Families& out) {
  out.gauge("etcd_debugging_mvcc_watch_stream_total", "Watch streams open.", m.watch_streams);
  out.gauge("etcd_debugging_mvcc_watcher_total", "Watches open.", m.watchers);
  out.gauge("etcd_debugging_mvcc_slow_watcher_total", "Watches that are behind.", m.slow_watchers);
  out.counter("etcd_debugging_mvcc_events_total", "Events sent.", m.events_total);
  out.gauge("etcd_debugging_mvcc_pending_events_total", "Events waiting to be sent.",
            m.pending_events);
  out.histogram("etcd_debugging_server_watch_send_loop_watch_stream_duration_seconds",
                "Time to send events.", m.watch_send);
  out.histogram("etcd_debugging_server_watch_send_loop_watch_stream_duration_per_event_seconds",
                "The same, per event.", m.watch_send_per_event);
  out.histogram("etcd_debugging_server_watch_send_loop_control_stream_duration_seconds",
                "Time to send answers to requests on watch streams.", m.watch_control);
  out.histogram("etcd_debugging_server_watch_send_loop_progress_duration_seconds",
                "Time to send progress.", m.watch_progress);
  out.counter("etcd_debugging_lease_granted_total", "Leases granted.", m.lease_granted);
  out.counter("etcd_debugging_lease_revoked_total", "Leases revoked.", m.lease_revoked);
  out.counter("etcd_debugging_lease_renewed_total", "Leases renewed.", m.lease_renewed);
  out.histogram("etcd_debugging_lease_ttl_total", "Times to live granted.", m.lease_ttl);
  out.gauge("etcd_debugging_auth_revision", "Revision of the auth store.", m.auth_revision);
}

// What etcd has no names for.
void add_own(const Metrics& m, Families& out) {
  out.gauge("keelson_network_accept_paused",
            "Whether connections wait because file descriptors have run short.", m.accept_paused);
  out.counter("keelson_network_accept_pauses_total", "How often that has begun.",
              m.accept_pauses.value());
  out.gauges("keelson_network_held_bytes", "What clients make the member hold.", {"what"},
             m.held_bytes);
  out.gauges("keelson_network_held_limit_bytes", "The most that it may be.", {"what"},
             m.held_limit_bytes);
  out.counters("keelson_network_held_refused_total", "What was refused for it.", {"what"},
               m.held_refused);
  out.counters("keelson_network_held_given_up_total",
               "What was given up because its client did not go on.", {"what"}, m.held_given_up);
  out.counters("keelson_requests_refused_total",
               "Requests that were refused because too much was under way: in all (full), of their "
               "client (share), or for the store (behind).",
               {"what", "why"}, m.requests_refused);
  out.gauge("keelson_network_handshakes_running", "TLS handshakes with state in memory.",
            m.handshakes_running);
  out.gauge("keelson_network_handshakes_waiting", "TLS handshakes that wait to begin.",
            m.handshakes_waiting);
  out.counter("keelson_network_handshakes_asked_again_total",
              "Clients that were asked to say hello again, in a crowd.",
              m.handshakes_asked.value());
  out.counter("keelson_network_handshakes_put_out_total", "TLS handshakes that had to go.",
              m.handshakes_put_out.value());
  out.counters("keelson_access_log_lines_total", "Lines of the access log, by what became of them.",
               {"what"}, m.access_lines);
  out.counters("keelson_tracing_spans_total", "Spans that have ended, by what became of them.",
               {"outcome"}, m.spans);
  out.gauge("keelson_log_stalled",
            "Whether the log's device has not completed a write for an election timeout.",
            m.log_stalled);
  out.counter("keelson_log_stalls_total", "How often that has begun.", m.log_stalls.value());
  out.counter("keelson_leaderships_yielded_total",
              "How often the leader handed over or stepped down for it.",
              m.leaderships_yielded.value());
}

void add_archive(const Metrics& m, Families& out) {
  if (!m.has_archive) return;
  out.gauge("keelson_archive_healthy", "Whether the archive gets what it should.",
            m.archive_healthy);
  out.gauge("keelson_archive_index", "Entry up to which the archive has the log, durably.",
            m.archive_index);
  out.gauge("keelson_archive_revision", "Revision of the newest time that can be brought back.",
            m.archive_revision);
  out.gauge("keelson_archive_time_milliseconds", "That time, since 1970.", m.archive_time_ms);
  out.gauge("keelson_archive_lag_seconds",
            "For how long something that was applied has not been in the archive.",
            m.archive_lag_ms.value() / 1000);
  out.gauge("keelson_archive_bytes", "What the archive takes.", m.archive_bytes);
  out.gauge("keelson_archive_snapshots", "Snapshots in the archive.", m.archive_snapshots);
  out.gauge("keelson_archive_snapshot_time_milliseconds",
            "When the state of the newest snapshot in the archive was the newest, since 1970.",
            m.archive_snapshot_time_ms);
  out.counter("keelson_archive_gaps_total", "How often history was lost to the archive.",
              m.archive_gaps.value());
  out.counter("keelson_archive_failures_total", "How often the archive's disk failed it.",
              m.archive_failures.value());
}

}  // namespace

std::string metrics_page(Metrics& metrics) {
  if (metrics.on_scrape) metrics.on_scrape(metrics);
  Families families;
  add_server(metrics, families);
  add_identity(metrics, families);
  add_health(metrics, families);
  add_requests(metrics, families);
  add_network(metrics, families);
  add_snapshots(metrics, families);
  add_disk(metrics, families);
  add_store(metrics, families);
  add_watches_and_leases(metrics, families);
  add_process(families);
  add_runtime(metrics, families);
  add_absent(families);
  add_own(metrics, families);
  add_archive(metrics, families);
  return page_of(families);
}

}  // namespace keelson::http
