// The rules that a configuration must meet, in the order and with the texts of etcd v3.7.1
// (server/embed/config.go, Validate).

#include <arpa/inet.h>

#include <algorithm>

#include "base/text.h"
#include "base/time_text.h"
#include "server/config.h"
#include "server/go_values.h"
#include "server/tls_rules.h"

namespace keelson::server {
namespace {

absl::Status refuse(std::string text) { return absl::InvalidArgumentError(std::move(text)); }

bool is_ip(const std::string& host) {
  unsigned char address[16];
  return inet_pton(AF_INET, host.c_str(), address) == 1 ||
         inet_pton(AF_INET6, host.substr(0, host.find('%')).c_str(), address) == 1;
}

absl::Status check_bind(const std::vector<Url>& urls) {
  for (const Url& url : urls) {
    if (url.is_unix()) continue;
    const std::string host = url.hostname();
    if (host == "localhost" || is_ip(host)) continue;
    return refuse(cat("expected IP in URL for binding (", url.str(), ")"));
  }
  return absl::OkStatus();
}

// The URL without a host, if there is one.
std::optional<std::string> hostless(const std::vector<Url>& urls) {
  for (const Url& url : urls) {
    if (!url.is_unix() && url.hostname().empty()) {
      return cat("unexpected empty host (", url.str(), ")");
    }
  }
  return std::nullopt;
}

absl::Status check_logging(const LogConfig& log) {
  if (log.logger == "capnslog") return refuse("--logger=capnslog is removed in v3.5");
  if (log.logger != "zap") return refuse(cat("unknown logger option ", quoted(log.logger)));
  const auto is_default = [](const std::string& output) { return output == "default"; };
  if (log.outputs.size() > 1 && std::any_of(log.outputs.begin(), log.outputs.end(), is_default)) {
    return refuse("multi logoutput for \"default\" is not supported yet");
  }
  for (const std::string& output : log.outputs) {
    if (output.empty()) return refuse("open sink \"\": open : no such file or directory");
  }
  if (!log.format.empty() && log.format != "json" && log.format != "console") {
    return refuse(cat("unknown log format: ", log.format, ", supported values json, console"));
  }
  // In any case; none is zap's first, which is info.
  constexpr std::string_view kLevels[] = {"debug",  "info",  "warn",  "error",
                                          "dpanic", "panic", "fatal", ""};
  if (std::find(std::begin(kLevels), std::end(kLevels), lower(log.level)) == std::end(kLevels)) {
    return refuse(cat("unrecognized level: ", quoted(log.level)));
  }
  if (!log.rotation) return absl::OkStatus();
  const auto files = std::count_if(log.outputs.begin(), log.outputs.end(), [](const auto& o) {
    return o != "default" && o != "stderr" && o != "stdout";
  });
  if (files != 1) {
    return refuse(
        "--log-outputs requires a single file path when --log-rotate-config-json is "
        "defined");
  }
  return absl::OkStatus();
}

absl::Status check_listeners(const Config& config) {
  for (const std::vector<Url>* urls :
       {&config.listen_peer_urls, &config.listen_client_urls, &config.listen_client_http_urls,
        &config.listen_metrics_urls}) {
    if (absl::Status s = check_bind(*urls); !s.ok()) return s;
  }
  if (std::optional<std::string> bad = hostless(config.initial_advertise_peer_urls)) {
    return refuse(cat("--initial-advertise-peer-urls ",
                      quoted(urls_text(config.initial_advertise_peer_urls)),
                      " must be \"host:port\" (", *bad, ")"));
  }
  if (std::optional<std::string> bad = hostless(config.advertise_client_urls)) {
    return refuse(cat("--advertise-client-urls ", quoted(urls_text(config.advertise_client_urls)),
                      " must be in the format \"host:port\", \"unix:/path/to/socket\" or "
                      "\"unixs:/path/to/socket\" (",
                      *bad, ")"));
  }
  return absl::OkStatus();
}

absl::Status check_bootstrap(const Config& config) {
  const DiscoveryConfig& discovery = config.discovery;
  if (config.initial_cluster_state != "new" && config.initial_cluster_state != "existing") {
    return refuse(cat("unexpected clusterState ", quoted(config.initial_cluster_state)));
  }
  const int ways = int{!config.initial_cluster.empty()} + int{!discovery.dns_srv.empty()} +
                   int{!discovery.endpoints.empty()};
  if (ways > 1) {
    return refuse(
        "multiple discovery or bootstrap flags are set. Choose one of "
        "\"initial-cluster\", \"discovery-endpoints\" or \"discovery-srv\"");
  }
  if (discovery.token.empty() != discovery.endpoints.empty()) {
    return refuse("both --discovery-token and --discovery-endpoints must be set");
  }
  for (const std::string& endpoint : discovery.endpoints) {
    if (endpoint.find_first_not_of(" \t\r\n") == std::string::npos) {
      return refuse("--discovery-endpoints must not contain empty endpoints");
    }
  }
  return absl::OkStatus();
}

constexpr uint64_t kSmallestWalSegment = 16 << 10;
constexpr uint64_t kSmallestWriteBuffer = 256 << 10;

// Rules of ours: less than these would be all heads and no records.
absl::Status check_sizes(const Config& config) {
  if (config.keelson_wal_segment_bytes < kSmallestWalSegment) {
    return refuse(cat("--keelson-wal-segment-bytes must be at least ", kSmallestWalSegment));
  }
  if (config.keelson_write_buffer_bytes < kSmallestWriteBuffer) {
    return refuse(cat("--keelson-write-buffer-bytes must be at least ", kSmallestWriteBuffer));
  }
  return absl::OkStatus();
}

absl::Status check_archive(const Config& config) {
  if (config.keelson_archive_snapshot_interval < seconds(1)) {
    return refuse(cat("--keelson-archive-snapshot-interval must be at least 1s (set to ",
                      duration_text(config.keelson_archive_snapshot_interval), ")"));
  }
  if (config.keelson_archive_max_age < Duration(0)) {
    return refuse(cat("--keelson-archive-max-age must not be negative (set to ",
                      duration_text(config.keelson_archive_max_age), ")"));
  }
  return absl::OkStatus();
}

absl::Status check_timing(const Config& config) {
  const uint64_t tick = config.heartbeat_interval_ms, election = config.election_timeout_ms;
  if (tick == 0) return refuse("--heartbeat-interval must be >0 (set to 0ms)");
  if (election == 0) return refuse("--election-timeout must be >0 (set to 0ms)");
  if (tick > election / 5) {
    return refuse(cat("--election-timeout[", election,
                      "ms] should be at least as 5 times as "
                      "--heartbeat-interval[",
                      tick, "ms]"));
  }
  constexpr uint64_t kLongestMs = 50'000;
  if (election > kLongestMs) {
    return refuse(cat("--election-timeout[", election,
                      "ms] is too long, and should be set less than ", kLongestMs, "ms"));
  }
  return absl::OkStatus();
}

// 0 for "the newest there is".
absl::StatusOr<int> tls_version(const std::string& text) {
  if (text.empty()) return 0;
  if (text == "TLS1.2") return 12;
  if (text == "TLS1.3") return 13;
  return refuse(cat("unexpected TLS version ", quoted(text), " (must be one of: TLS1.2, TLS1.3)"));
}

absl::Status check_tls_versions(const Config& config) {
  absl::StatusOr<int> least = tls_version(config.tls_min_version);
  if (!least.ok()) return least.status();
  absl::StatusOr<int> most = tls_version(config.tls_max_version);
  if (!most.ok()) return most.status();
  if (*most != 0 && *least > *most) {
    return refuse(cat("min version (", config.tls_min_version, ") is greater than max version (",
                      config.tls_max_version, ")"));
  }
  if (*least == 13 && !config.cipher_suites.empty()) {
    return refuse("cipher suites cannot be configured when only TLS1.3 is enabled");
  }
  return absl::OkStatus();
}

absl::Status check_compaction(const Config& config) {
  if (config.auto_compaction_mode.empty()) return refuse("undefined auto-compaction-mode");
  if (config.auto_compaction_mode != "revision" && config.auto_compaction_mode != "periodic") {
    return refuse(cat("unknown auto-compaction-mode ", quoted(config.auto_compaction_mode)));
  }
  return config.auto_compaction().status();
}

absl::Status check_tracing(const TracingConfig& tracing) {
  constexpr int64_t kMillion = 1'000'000;
  if (!tracing.enabled) return absl::OkStatus();
  const auto invalid = [](std::string_view why) {
    return refuse(cat("distributed tracing configurition is not valid: (", why, ")"));
  };
  if (tracing.samples_per_million < 0) return invalid("tracing sampling rate must be positive");
  if (tracing.samples_per_million > kMillion) {
    return invalid(cat("tracing sampling rate must be less than ", kMillion));
  }
  return absl::OkStatus();
}

absl::Status check_features(const Config& config) {
  if (config.max_learners < 0) return refuse("membership: too many learner members in cluster");
  if (absl::Status s = check_tracing(config.tracing); !s.ok()) return s;
  if (config.feature("LeaseCheckpointPersist") && !config.feature("LeaseCheckpoint")) {
    return refuse(
        "enabling feature gate LeaseCheckpointPersist requires enabling feature gate "
        "LeaseCheckpoint");
  }
  if (config.compact_hash_check_time <= Duration(0)) {
    return refuse(cat("--compact-hash-check-time must be >0 (set to ",
                      duration_text(config.compact_hash_check_time), ")"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Config::validate() const {
  if (absl::Status s = check_logging(log); !s.ok()) return s;
  if (absl::Status s = check_listeners(*this); !s.ok()) return s;
  if (absl::Status s = check_bootstrap(*this); !s.ok()) return s;
  if (absl::Status s = check_timing(*this); !s.ok()) return s;
  if (absl::Status s = check_sizes(*this); !s.ok()) return s;
  if (absl::Status s = check_archive(*this); !s.ok()) return s;
  if (!listen_client_urls.empty() && advertise_client_urls.empty()) {
    return refuse(
        "--advertise-client-urls is required when --listen-client-urls is set "
        "explicitly");
  }
  if (absl::Status s = check_compaction(*this); !s.ok()) return s;
  if (absl::Status s = check_features(*this); !s.ok()) return s;
  if (absl::Status s = check_tls_versions(*this); !s.ok()) return s;
  return check_tls_flags(*this);
}

}  // namespace keelson::server
