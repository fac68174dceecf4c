#include "server/startup.h"

#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <future>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "base/log.h"
#include "base/size_text.h"
#include "base/text.h"
#include "base/time_text.h"
#include "server/build_info.h"
#include "server/flag_table.h"
#include "server/go_values.h"
#include "server/places.h"

namespace keelson::server {
namespace {

constexpr int64_t kDefaultQuota = int64_t{2} << 30;

// A value that is JSON already.
log::Field json(std::string_view key, const std::vector<std::string>& list) {
  log::Field field(key, false);
  field.value = nlohmann::json(list).dump();
  return field;
}

// The gates that were set, as etcd names them; those at their defaults are not.
std::string changed_gates(const Config& config) {
  std::map<std::string, FeatureGate> changed;
  const std::map<std::string, FeatureGate> defaults = default_feature_gates();
  for (const auto& [name, gate] : config.feature_gates) {
    if (gate.enabled != defaults.at(name).enabled) changed.emplace(name, gate);
  }
  return field_text(changed);
}

// etcd keeps a number of revisions in a duration, too.
Duration compaction_retention(const Config& config) {
  const auto compaction = config.auto_compaction();
  if (!compaction.ok() || !*compaction) return Duration(0);
  return (*compaction)->by_revision ? Duration((*compaction)->revisions) : (*compaction)->period;
}

// Whether the process may lock whatever it likes: CAP_IPC_LOCK among its effective capabilities.
bool may_lock_all() {
  constexpr int kIpcLock = 14;
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (!line.starts_with("CapEff:")) continue;
    return (std::strtoull(line.c_str() + 7, nullptr, 16) >> kIpcLock & 1) != 0;
  }
  return false;
}

}  // namespace

void log_configuration(const Config& c, bool initialized) {
  const BuildInfo build = build_info();
  const auto time = [](Duration d) { return duration_text(d); };
  const unsigned cores = std::thread::hardware_concurrency();
  const std::string retention = time(compaction_retention(c));
  const DiscoveryConfig& d = c.discovery;
  log::info(
      "starting an etcd server",
      {{"etcd-version", kEtcdVersion},
       {"keelson-version", kKeelsonVersion},
       {"git-sha", build.git_sha},
       {"go-version", build.toolchain},
       {"go-os", "linux"},
       {"go-arch", build.architecture},
       {"max-cpu-set", cores},
       {"max-cpu-available", cores},
       {"member-initialized", initialized},
       {"name", c.name},
       {"data-dir", c.effective_data_dir()},
       {"wal-dir", c.wal_dir},
       {"wal-dir-dedicated", c.wal_dir},
       {"member-dir", c.effective_data_dir() + "/member"},
       {"force-new-cluster", c.force_new_cluster},
       {"heartbeat-interval", time(c.heartbeat_interval())},
       {"election-timeout", time(c.election_timeout())},
       {"initial-election-tick-advance", c.initial_election_tick_advance},
       {"snapshot-count", c.snapshot_count},
       {"max-wals", c.max_wals},
       {"max-snapshots", c.max_snapshots},
       {"snapshot-catchup-entries", c.snapshot_catchup_entries},
       json("initial-advertise-peer-urls", url_texts(c.initial_advertise_peer_urls)),
       json("listen-peer-urls", url_texts(c.listen_peer_urls)),
       json("advertise-client-urls", url_texts(c.advertise_client_urls)),
       json("listen-client-urls", url_texts(c.listen_client_urls)),
       json("listen-metrics-urls", url_texts(c.listen_metrics_urls)),
       {"local-address", local_address(c)},
       json("cors", c.cors),
       json("host-whitelist", c.host_whitelist),
       {"initial-cluster", c.initial_cluster},
       {"initial-cluster-state", c.initial_cluster_state},
       {"initial-cluster-token", c.initial_cluster_token},
       {"quota-backend-bytes", c.quota_backend_bytes == 0 ? kDefaultQuota : c.quota_backend_bytes},
       {"max-request-bytes", c.max_request_bytes},
       {"max-concurrent-streams", c.max_concurrent_streams},
       {"pre-vote", c.pre_vote},
       {"feature-gates", changed_gates(c)},
       {"initial-corrupt-check", c.feature("InitialCorruptCheck")},
       {"corrupt-check-time-interval", time(c.corrupt_check_time)},
       {"compact-check-time-interval", time(c.compact_hash_check_time)},
       {"auto-compaction-mode", c.auto_compaction_mode},
       {"auto-compaction-retention", retention},
       {"auto-compaction-interval", retention},
       {"discovery-token", d.token},
       {"discovery-endpoints", field_text(d.endpoints)},
       {"discovery-dial-timeout", time(d.dial_timeout)},
       {"discovery-request-timeout", time(d.request_timeout)},
       {"discovery-keepalive-time", time(d.keepalive_time)},
       {"discovery-keepalive-timeout", time(d.keepalive_timeout)},
       {"discovery-insecure-transport", d.insecure_transport},
       {"discovery-insecure-skip-tls-verify", d.insecure_skip_tls_verify},
       {"discovery-cert", d.cert},
       {"discovery-key", d.key},
       {"discovery-cacert", d.cacert},
       {"discovery-user", d.user.substr(0, d.user.find(':'))},
       {"downgrade-check-interval", time(c.downgrade_check_time)},
       {"max-learners", c.max_learners},
       {"v2-deprecation", "write-only"}});
}

void log_request_limit(const Config& config) {
  constexpr uint64_t kAdvised = 10 << 20;
  if (config.max_request_bytes <= kAdvised) return;
  log::warn("exceeded recommended request limit",
            {{"max-request-bytes", config.max_request_bytes},
             {"max-request-size", size_text(config.max_request_bytes)},
             {"recommended-request-bytes", kAdvised},
             {"recommended-request-size", size_text(kAdvised)}});
}

void log_quota(const Config& config) {
  constexpr int64_t kMost = int64_t{8} << 30;
  const log::Field name("quota-name", "v3-applier");
  const int64_t given = config.quota_backend_bytes;
  if (given < 0) {
    return log::info("disabled backend quota", {name, {"quota-size-bytes", given}});
  }
  const int64_t quota = given == 0 ? kDefaultQuota : given;
  const log::Field bytes("quota-size-bytes", quota);
  const log::Field size("quota-size", size_text(static_cast<uint64_t>(quota)));
  if (quota > kMost) {
    log::warn("quota exceeds the maximum value", {name,
                                                  bytes,
                                                  size,
                                                  {"quota-maximum-size-bytes", kMost},
                                                  {"quota-maximum-size", size_text(kMost)}});
  }
  log::info(given == 0 ? "enabled backend quota with default value" : "enabled backend quota",
            {name, bytes, size});
}

absl::Status lock_memory() {
  rlimit limit{};
  if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur != limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0) getrlimit(RLIMIT_MEMLOCK, &limit);
  }
  // With a limit, what is mapped later fails, and the process with it.
  if (limit.rlim_cur != RLIM_INFINITY && !may_lock_all()) {
    return absl::FailedPreconditionError(
        cat("--memory-mlock needs an unlimited RLIMIT_MEMLOCK or CAP_IPC_LOCK; the limit is ",
            limit.rlim_cur, " bytes"));
  }
  // Pages are locked as they are first touched: what is reserved and never used takes no memory.
  if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0) {
    return absl::FailedPreconditionError(
        cat("--memory-mlock: cannot lock memory: ", std::strerror(errno)));
  }
  return absl::OkStatus();
}

absl::Status defragment_at_start(backend::Backend& backend, uint64_t threshold_megabytes) {
  if (threshold_megabytes == 0) return absl::OkStatus();
  const uint64_t size = backend.size_on_disk();
  const uint64_t in_use = std::min(backend.size_in_use(), size);
  const bool beyond = threshold_megabytes > UINT64_MAX >> 20;
  const uint64_t threshold = beyond ? UINT64_MAX : threshold_megabytes << 20;
  if (size - in_use < threshold) {
    log::info("Skipping defragmentation", {{"current-db-size-bytes", size},
                                           {"current-db-size", size_text(size)},
                                           {"current-db-size-in-use-bytes", in_use},
                                           {"current-db-size-in-use", size_text(in_use)},
                                           {"bootstrap-defrag-threshold-bytes", threshold},
                                           {"bootstrap-defrag-threshold", size_text(threshold)}});
    return absl::OkStatus();
  }
  std::promise<absl::Status> done;
  backend.reclaim([&](absl::Status status) { done.set_value(std::move(status)); });
  absl::Status status = done.get_future().get();
  if (status.ok()) {
    log::info("finished defragmentation", {{"current-db-size-bytes-before", size},
                                           {"current-db-size-bytes", backend.size_on_disk()}});
  }
  return status;
}

}  // namespace keelson::server
