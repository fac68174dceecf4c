// server/config.h
//
// Config is everything that `keelson` was told: one typed field for each flag of etcd v3.7.1, with
// etcd's defaults, and a few of our own (--keelson-*).
//
// Sources, as in etcd: flags beat ETCD_* environment variables; a config file (--config-file, YAML
//   with etcd's keys), when given, replaces both. Unlike etcd, a variable that a flag overrides
//   is a warning, not a refusal to start.
// Errors: an InvalidArgument status with etcd's text; parse_command_line() says what to print and
//   which exit code to use, and never exits by itself.
// Units: as the field's type says; *_bytes are bytes.
// Threads: a value; const once the program runs.

#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/log.h"
#include "server/url.h"

namespace keelson::server {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

struct TlsConfig {
  std::string cert_file, key_file;
  std::string client_cert_file, client_key_file;
  std::string trusted_ca_file, crl_file;
  bool client_cert_auth = false;
  bool auto_tls = false;
  bool skip_client_san_verification = false;
  // Whom other members' certificates have to name; empty: their hosts. See name_founders().
  std::string server_name;
  std::vector<std::string> allowed_cns, allowed_hostnames;

  bool any() const { return auto_tls || !cert_file.empty() || !key_file.empty(); }
};

struct DiscoveryConfig {
  std::vector<std::string> endpoints;
  std::string token;
  Duration dial_timeout = seconds(2);
  Duration request_timeout = seconds(5);
  Duration keepalive_time = seconds(2);
  Duration keepalive_timeout = seconds(6);
  bool insecure_transport = true;
  bool insecure_skip_tls_verify = false;
  std::string cert, key, cacert, user, password;
  std::string fallback = "exit";
  std::string dns_srv, dns_srv_name;
  std::string v2_url, v2_proxy;  // gone in etcd 3.7; accepted, without effect
};

struct TracingConfig {
  bool enabled = false;
  std::string address = "localhost:4317";
  std::string service_name = "etcd";
  std::string instance_id;
  int64_t samples_per_million = 0;
};

struct LogConfig {
  std::string logger = "zap";
  std::string level = "info";
  std::string format = "json";
  std::vector<std::string> outputs = {"default"};
  bool rotation = false;
  std::string rotation_json =
      R"({"maxsize": 100, "maxage": 0, "maxbackups": 0, "localtime": false, "compress": false})";
};

struct FeatureGate {
  bool enabled;
  std::string_view stage;  // "ALPHA" or "BETA"
};
// etcd's gates with their defaults, by name.
std::map<std::string, FeatureGate> default_feature_gates();

struct Config {
  // Member.
  std::string name = "default";
  std::string data_dir;  // empty: see effective_data_dir()
  std::string wal_dir;   // empty: inside the data directory
  uint64_t snapshot_count = 10'000;
  uint64_t snapshot_catchup_entries = 5'000;
  uint64_t max_snapshots = 5;
  uint64_t max_wals = 5;
  uint64_t heartbeat_interval_ms = 100;
  uint64_t election_timeout_ms = 1'000;
  bool initial_election_tick_advance = true;
  std::vector<Url> listen_peer_urls = {{"http", "localhost:2380", ""}};
  std::vector<Url> listen_client_urls = {{"http", "localhost:2379", ""}};
  std::vector<Url> listen_client_http_urls;
  std::vector<Url> listen_metrics_urls;
  int64_t quota_backend_bytes = 0;  // 0: etcd's default of 2 GiB; < 0: none. See effective_quota()
  std::string backend_freelist_type;
  Duration backend_batch_interval{0};
  int64_t backend_batch_limit = 0;
  uint64_t max_txn_ops = 128;
  uint64_t max_request_bytes = 1'572'864;
  uint32_t max_concurrent_streams = UINT32_MAX;
  Duration grpc_keepalive_min_time = seconds(5);
  Duration grpc_keepalive_interval = hours(2);  // 0: never ping
  Duration grpc_keepalive_timeout = seconds(20);
  bool socket_reuse_port = false;
  mode_t unix_socket_mode = 0700;  // no flag: what the umask at the start leaves of 0777
  bool socket_reuse_address = false;
  Duration raft_read_timeout = seconds(5);
  Duration raft_write_timeout = seconds(5);
  bool memory_mlock = false;
  bool enable_grpc_gateway = true;
  std::map<std::string, FeatureGate> feature_gates = default_feature_gates();

  // Clustering.
  std::vector<Url> initial_advertise_peer_urls = {{"http", "localhost:2380", ""}};
  std::vector<Url> advertise_client_urls = {{"http", "localhost:2379", ""}};
  std::string initial_cluster = "default=http://localhost:2380";
  std::string initial_cluster_state = "new";
  std::string initial_cluster_token = "etcd-cluster";
  DiscoveryConfig discovery;
  bool strict_reconfig_check = true;
  bool pre_vote = true;
  std::string auto_compaction_mode = "periodic";
  std::string auto_compaction_retention = "0";
  std::string v2_deprecation = "write-only";

  // Security and auth.
  TlsConfig client_tls, peer_tls;
  uint64_t self_signed_cert_validity_years = 1;
  std::vector<std::string> cipher_suites;
  std::string tls_min_version = "TLS1.2", tls_max_version;
  std::vector<std::string> cors = {"*"};            // sorted, without duplicates
  std::vector<std::string> host_whitelist = {"*"};  // the same
  std::string auth_token = "simple";
  uint64_t bcrypt_cost = 10;
  uint64_t auth_token_ttl_seconds = 300;

  // Monitoring.
  LogConfig log;
  bool enable_pprof = false;
  std::string metrics = "basic";  // or "extensive"
  TracingConfig tracing;

  // Features.
  Duration corrupt_check_time{0};
  Duration compact_hash_check_time = minutes(1);
  int64_t compaction_batch_limit = 0;          // 0: etcd's default, 1000
  Duration compaction_sleep_interval{0};       // 0: etcd's default, 10 ms
  Duration watch_progress_notify_interval{0};  // 0: see effective_progress_notify_interval()
  Duration warning_apply_duration = milliseconds(100);
  Duration warning_unary_request_duration = milliseconds(300);
  uint64_t bootstrap_defrag_threshold_megabytes = 0;
  int64_t max_learners = 1;
  Duration downgrade_check_time = seconds(5);

  // Unsafe.
  bool force_new_cluster = false;
  bool unsafe_no_fsync = false;

  // Keelson's own.
  int64_t keelson_value_cache_bytes = 128 << 20;    // newest values kept in memory, at most
  uint64_t keelson_io_threads = 0;                  // 0: one per core. See effective_io_threads()
  uint64_t keelson_wal_segment_bytes = 64'000'000;  // a log segment ends after this many
  uint64_t keelson_write_buffer_bytes = 64 << 20;   // changes the store holds in memory, at most
  std::string keelson_access_log;                   // stderr, stdout or a path; empty: none
  bool keelson_access_log_keys = false;             // with the keys that calls are about
  std::string keelson_archive;                      // a directory; empty: there is no archive
  Duration keelson_archive_snapshot_interval = hours(24);
  Duration keelson_archive_max_age = hours(168);            // 0: no bound; likewise below
  uint64_t keelson_archive_max_bytes = uint64_t{64} << 30;  // of everything
  uint64_t keelson_archive_max_snapshots = 16;

  // The names that were set on the command line, in the environment or in the file.
  std::set<std::string, std::less<>> explicitly_set;

  bool is_set(std::string_view flag) const { return explicitly_set.contains(flag); }
  bool feature(std::string_view gate) const;  // false for a gate that does not exist
  bool extensive_metrics() const { return metrics == "extensive"; }

  // "${name}.etcd" unless --data-dir says otherwise.
  std::string effective_data_dir() const;
  std::string effective_wal_dir() const;  // "<data dir>/member/wal" unless --wal-dir is given
  uint64_t effective_quota() const;       // bytes; UINT64_MAX: no quota
  unsigned effective_io_threads() const;
  size_t effective_compaction_batch_limit() const;       // 1000 unless set
  Duration effective_compaction_sleep_interval() const;  // 10 ms unless set
  Duration effective_progress_notify_interval() const;   // 10 min unless set
  Duration heartbeat_interval() const { return milliseconds(heartbeat_interval_ms); }
  uint64_t election_ticks() const { return election_timeout_ms / heartbeat_interval_ms; }
  Duration election_timeout() const { return milliseconds(election_timeout_ms); }
  // For what goes through the log or to another member, as in etcd.
  Duration request_timeout() const { return seconds(5) + 2 * election_timeout(); }

  // What --auto-compaction-* ask for. Nothing: off.
  struct AutoCompaction {
    bool by_revision;
    int64_t revisions;  // keep this many, when by_revision
    Duration period;    // keep this long, otherwise
  };
  absl::StatusOr<std::optional<AutoCompaction>> auto_compaction() const;

  // The rules of etcd's Validate(), in its order and with its texts. Called by the parsers.
  absl::Status validate() const;
};

// A log line that is due once logging stands: parsing happens before that.
struct PendingLog {
  log::Level level;
  std::string message;
  std::vector<std::pair<std::string, std::string>> fields;
};

struct CommandLine {
  Config config;
  std::vector<PendingLog> notes;  // overridden or unknown variables, flags without effect yet, …

  // Set when the program should not go on: print `out` and `err`, leave with `exit_code`.
  struct Exit {
    int exit_code = 0;
    std::string out, err;
  };
  std::optional<Exit> exit;
};

// The environment as "NAME=value" strings.
using Environment = std::vector<std::string>;
Environment environment_of(char** environ);

// argv without the program's name. Reads the config file if one is named; touches nothing else.
CommandLine parse_command_line(const std::vector<std::string>& args,
                               const Environment& environment);

// The config file's text on top of the defaults. `notes` gets keys without effect or meaning.
absl::StatusOr<Config> parse_config_file(std::string_view yaml, std::vector<PendingLog>& notes);

// Hands the notes to the logger, in order.
void log_notes(const std::vector<PendingLog>& notes);

// What --version prints, and the numbers in it.
std::string version_text();
inline constexpr std::string_view kEtcdVersion = "3.7.1";
inline constexpr std::string_view kEtcdClusterVersion = "3.7.0";
inline constexpr std::string_view kKeelsonVersion = "0.1.0";

}  // namespace keelson::server
