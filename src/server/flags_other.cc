// Flags of etcd's groups "Profiling and Monitoring", "Logging", "Distributed tracing", "Features"
// and "Unsafe feature".

#include "server/flag_table.h"
#include "server/go_values.h"

namespace keelson::server {
namespace {

using enum FlagEffect;
using enum FlagGroup;

std::vector<FlagSpec> rows_of_observation() {
  return {
      flag("enable-pprof", kMonitoring, kYes, KEELSON_FIELD(enable_pprof),
           "Serve profiles at /debug/pprof/."),
      flag("metrics", kMonitoring, kYes, KEELSON_FIELD(metrics),
           "'basic', or 'extensive' for the duration of every kind of call too."),
      flag("listen-metrics-urls", kMonitoring, kYes, KEELSON_FIELD(listen_metrics_urls),
           "Further URLs that serve /metrics and the health checks."),
      flag("logger", kLogging, kYes, KEELSON_FIELD(log.logger), "'zap', the only one."),
      in_file(with_setter(flag("log-outputs", kLogging, kYes, KEELSON_FIELD(log.outputs),
                               "default, stderr, stdout or file paths, comma-separated."),
                          [](Config& c, std::string_view text) {
                            c.log.outputs = unique_comma_parts(text);
                            // As a file without a name, which cannot be opened.
                            if (text.empty()) c.log.outputs = {""};
                            return absl::OkStatus();
                          }),
              FileKind::kList),
      flag("log-level", kLogging, kYes, KEELSON_FIELD(log.level),
           "debug, info, warn, error, panic or fatal. debug serves /debug/pprof/, /debug/requests "
           "and "
           "/debug/events, too."),
      flag("log-format", kLogging, kYes, KEELSON_FIELD(log.format), "json or console."),
      flag("enable-log-rotation", kLogging, kYes, KEELSON_FIELD(log.rotation),
           "Start a new log file when the old one is large."),
      flag("log-rotation-config-json", kLogging, kYes, KEELSON_FIELD(log.rotation_json),
           "When to rotate: maxsize (MB); what to keep: maxage (days), maxbackups (0: all), "
           "compress, "
           "localtime."),
      flag("warning-unary-request-duration", kLogging, kYes,
           KEELSON_FIELD(warning_unary_request_duration),
           "Log a warning for requests that took longer."),
      flag("enable-distributed-tracing", kTracing, kYes, KEELSON_FIELD(tracing.enabled),
           "Send OpenTelemetry spans of requests."),
      flag("distributed-tracing-address", kTracing, kYes, KEELSON_FIELD(tracing.address),
           "Collector of the spans (OTLP over gRPC)."),
      flag("distributed-tracing-service-name", kTracing, kYes, KEELSON_FIELD(tracing.service_name),
           "Service name of all members."),
      flag("distributed-tracing-instance-id", kTracing, kYes, KEELSON_FIELD(tracing.instance_id),
           "This member's own name in spans."),
      flag("distributed-tracing-sampling-rate", kTracing, kYes,
           KEELSON_FIELD(tracing.samples_per_million), "Traces kept of a million that begin here."),
  };
}

std::vector<FlagSpec> rows_of_features() {
  return {
      flag("corrupt-check-time", kFeatures, kYes, KEELSON_FIELD(corrupt_check_time),
           "Time between two comparisons of the members' hashes (0: never)."),
      flag("compact-hash-check-time", kFeatures, kYes, KEELSON_FIELD(compact_hash_check_time),
           "Time between two comparisons of hashes taken at compactions."),
      flag("compaction-batch-limit", kFeatures, kYes, KEELSON_FIELD(compaction_batch_limit),
           "Revisions removed per step of a compaction (0: 1000)."),
      flag("compaction-sleep-interval", kFeatures, kYes, KEELSON_FIELD(compaction_sleep_interval),
           "Rest between two steps of a compaction (0: 10ms)."),
      flag("watch-progress-notify-interval", kFeatures, kYes,
           KEELSON_FIELD(watch_progress_notify_interval),
           "Quiet time after which a watch hears of progress (0: 10m)."),
      flag("warning-apply-duration", kFeatures, kYes, KEELSON_FIELD(warning_apply_duration),
           "Log a warning for requests whose application took longer."),
      flag("bootstrap-defrag-threshold-megabytes", kFeatures, kYes,
           KEELSON_FIELD(bootstrap_defrag_threshold_megabytes),
           "Dead space in the store that is given back before a start goes on (0: never)."),
      flag("max-learners", kFeatures, kYes, KEELSON_FIELD(max_learners),
           "Most learners in the cluster."),
      flag("downgrade-check-time", kFeatures, kYes, KEELSON_FIELD(downgrade_check_time),
           "Time between two looks at a downgrade under way."),
      flag("snapshot-catchup-entries", kFeatures, kYes, KEELSON_FIELD(snapshot_catchup_entries),
           "Entries kept in the log for members that are behind."),
      flag("force-new-cluster", kUnsafe, kYes, KEELSON_FIELD(force_new_cluster),
           "Make a cluster of one out of what is there."),
      flag("unsafe-no-fsync", kUnsafe, kYes, KEELSON_FIELD(unsafe_no_fsync),
           "Never wait for the disk. A crash of the machine loses data."),
  };
}

}  // namespace

std::span<const FlagSpec> other_flags() {
  static const std::vector<FlagSpec> rows = [] {
    std::vector<FlagSpec> all = rows_of_observation();
    const std::vector<FlagSpec> more = rows_of_features();
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }();
  return rows;
}

}  // namespace keelson::server
