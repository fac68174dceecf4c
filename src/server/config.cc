#include "server/config.h"

#include <algorithm>
#include <thread>

#include "base/text.h"
#include "server/go_values.h"

namespace keelson::server {

std::map<std::string, FeatureGate> default_feature_gates() {
  return {{"StopGRPCServiceOnDefrag", {false, "ALPHA"}},
          {"InitialCorruptCheck", {false, "ALPHA"}},
          {"CompactHashCheck", {false, "ALPHA"}},
          {"TxnModeWriteWithSharedBuffer", {true, "BETA"}},
          {"LeaseCheckpoint", {false, "ALPHA"}},
          {"LeaseCheckpointPersist", {false, "ALPHA"}},
          {"SetMemberLocalAddr", {false, "ALPHA"}},
          {"FastLeaseKeepAlive", {true, "BETA"}},
          {"PriorityRequest", {false, "ALPHA"}}};
}

bool Config::feature(std::string_view gate) const {
  auto found = feature_gates.find(std::string(gate));
  return found != feature_gates.end() && found->second.enabled;
}

std::string Config::effective_data_dir() const {
  return data_dir.empty() ? name + ".etcd" : data_dir;
}

std::string Config::effective_wal_dir() const {
  return wal_dir.empty() ? effective_data_dir() + "/member/wal" : wal_dir;
}

uint64_t Config::effective_quota() const {
  if (quota_backend_bytes < 0) return UINT64_MAX;
  if (quota_backend_bytes == 0) return uint64_t{2} << 30;
  return static_cast<uint64_t>(quota_backend_bytes);
}

unsigned Config::effective_io_threads() const {
  if (keelson_io_threads > 0) return static_cast<unsigned>(keelson_io_threads);
  return std::max(1u, std::thread::hardware_concurrency());
}

size_t Config::effective_compaction_batch_limit() const {
  return compaction_batch_limit > 0 ? static_cast<size_t>(compaction_batch_limit) : 1000;
}

Duration Config::effective_compaction_sleep_interval() const {
  return compaction_sleep_interval > Duration(0) ? compaction_sleep_interval : milliseconds(10);
}

Duration Config::effective_progress_notify_interval() const {
  constexpr Duration kShortest = milliseconds(100);  // etcd's, too
  if (watch_progress_notify_interval <= Duration(0)) return minutes(10);
  return std::max(watch_progress_notify_interval, kShortest);
}

absl::StatusOr<std::optional<Config::AutoCompaction>> Config::auto_compaction() const {
  if (auto_compaction_retention.empty()) return std::nullopt;
  const bool by_revision = auto_compaction_mode == "revision";
  absl::StatusOr<int64_t> number = parse_int(auto_compaction_retention);
  const bool all_digits =
      !auto_compaction_retention.empty() &&
      std::all_of(auto_compaction_retention.begin(), auto_compaction_retention.end(),
                  [](char c) { return c >= '0' && c <= '9'; });
  if (all_digits && number.ok()) {
    if (*number == 0) return std::nullopt;
    if (by_revision) return AutoCompaction{true, *number, Duration(0)};
    if (*number > INT64_MAX / 3'600'000'000'000) {
      return absl::InvalidArgumentError("error parsing CompactionRetention: value out of range");
    }
    return AutoCompaction{false, 0, hours(*number)};
  }
  absl::StatusOr<Duration> period = parse_duration(auto_compaction_retention);
  if (!period.ok()) {
    return absl::InvalidArgumentError(
        cat("error parsing CompactionRetention: ", duration_fault(auto_compaction_retention)));
  }
  if (*period <= Duration(0)) return std::nullopt;
  // etcd reads a duration in revision mode as its nanoseconds.
  if (by_revision) return AutoCompaction{true, period->count(), Duration(0)};
  return AutoCompaction{false, 0, *period};
}

}  // namespace keelson::server
