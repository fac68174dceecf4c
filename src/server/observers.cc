#include "server/observers.h"

#include <ctime>
#include <utility>

#include "base/errors.h"
#include "base/text.h"

namespace keelson::server {
namespace {

using http::RequestType;
using wire::InternalKind;

constexpr std::pair<InternalKind, RequestType> kRareTypes[] = {
    {InternalKind::kAuthEnable, RequestType::kAuthEnable},
    {InternalKind::kAuthDisable, RequestType::kAuthDisable},
    {InternalKind::kAuthStatus, RequestType::kAuthStatus},
    {InternalKind::kAuthUserAdd, RequestType::kAuthUserAdd},
    {InternalKind::kAuthUserDelete, RequestType::kAuthUserDelete},
    {InternalKind::kAuthUserGet, RequestType::kAuthUserGet},
    {InternalKind::kAuthUserChangePassword, RequestType::kAuthUserChangePassword},
    {InternalKind::kAuthUserGrantRole, RequestType::kAuthUserGrantRole},
    {InternalKind::kAuthUserRevokeRole, RequestType::kAuthUserRevokeRole},
    {InternalKind::kAuthUserList, RequestType::kAuthUserList},
    {InternalKind::kAuthRoleList, RequestType::kAuthRoleList},
    {InternalKind::kAuthRoleAdd, RequestType::kAuthRoleAdd},
    {InternalKind::kAuthRoleDelete, RequestType::kAuthRoleDelete},
    {InternalKind::kAuthRoleGet, RequestType::kAuthRoleGet},
    {InternalKind::kAuthRoleGrantPermission, RequestType::kAuthRoleGrantPermission},
    {InternalKind::kAuthRoleRevokePermission, RequestType::kAuthRoleRevokePermission},
    {InternalKind::kDowngradeInfoSet, RequestType::kDowngradeInfoSet},
    {InternalKind::kDowngradeVersionTest, RequestType::kDowngradeVersionTest},
};

RequestType rare_type_of(InternalKind kind) {
  for (const auto& [rare, type] : kRareTypes) {
    if (rare == kind) return type;
  }
  return RequestType::kOther;
}

RequestType type_of(InternalKind kind) {
  switch (kind) {
    case InternalKind::kRange:
      return RequestType::kRange;
    case InternalKind::kPut:
      return RequestType::kPut;
    case InternalKind::kDeleteRange:
      return RequestType::kDeleteRange;
    case InternalKind::kTxn:
      return RequestType::kTxn;
    case InternalKind::kCompaction:
      return RequestType::kCompaction;
    case InternalKind::kLeaseGrant:
      return RequestType::kLeaseGrant;
    case InternalKind::kLeaseRevoke:
      return RequestType::kLeaseRevoke;
    case InternalKind::kLeaseCheckpoint:
      return RequestType::kLeaseCheckpoint;
    case InternalKind::kAlarm:
      return RequestType::kAlarm;
    case InternalKind::kAuthenticate:
      return RequestType::kAuthenticate;
    case InternalKind::kClusterVersionSet:
      return RequestType::kClusterVersionSet;
    case InternalKind::kClusterMemberAttrSet:
      return RequestType::kClusterMemberAttrSet;
    default:
      return rare_type_of(kind);
  }
}

}  // namespace

void RequestMetrics::client_request(bool stream, std::string_view version) {
  using Type = http::ClientRequests::Type;
  metrics_.client_requests.add(stream ? Type::kStream : Type::kUnary, version);
}

void RequestMetrics::request_done(InternalKind kind, bool read_only, bool ok, Duration took) {
  bool txn = read_only && kind == InternalKind::kTxn;
  metrics_.observe_request(txn ? RequestType::kReadonlyTxn : type_of(kind), ok, took);
}

void RequestMetrics::range_read(bool ok, Duration took) {
  metrics_.range_duration.observe(ok ? 1 : 0, took);
}

void RequestMetrics::slow_read() { metrics_.slow_apply.add(); }

void RequestMetrics::hashed(bool all, Duration took) {
  (all ? metrics_.hash_duration : metrics_.hash_rev_duration).observe(took);
}

void RequestMetrics::snapshot_sent(Duration took) { metrics_.backend_snapshot.observe(took); }

void RequestMetrics::defragmenting() { metrics_.defragmentations.add(1); }

void RequestMetrics::defragmented(bool ok, Duration took) {
  metrics_.defragmentations.add(-1);
  if (ok) metrics_.backend_defrag.observe(took);
}

// etcd counts what its table of members says, not what the client is told.
void RequestMetrics::promoted(const absl::Status& status) {
  if (status.ok()) return metrics_.learner_promote_successes.add();
  std::string_view reason = message_of(status);
  if (status == errors::MemberNotFound()) reason = "membership: ID not found";
  if (status == errors::MemberNotLearner()) {
    reason = "membership: can only promote a learner member";
  }
  metrics_.learner_promote_failures.add({std::string(reason)});
}

void ApplyMetrics::applied(std::span<const apply::Applied> entries) {
  for (const apply::Applied& row : entries) {
    metrics_.observe_apply(type_of(row.kind), row.ok, row.took / row.count, row.count);
  }
}

void ApplyMetrics::slow_apply() { metrics_.slow_apply.add(); }

void ApplyMetrics::lease_granted(int64_t ttl_seconds) {
  metrics_.lease_ttl.observe(static_cast<uint64_t>(ttl_seconds));
}

void ApplyMetrics::compaction_step(Duration took) { metrics_.db_compaction_pause_ms.observe(took); }

void ApplyMetrics::compaction_finished(Duration took) {
  metrics_.db_compaction_total_ms.observe(took);
  metrics_.db_compaction_last.set(std::time(nullptr));
}

void WalTimes::wrote(uint64_t bytes, Duration took) {
  metrics_.wal_write.observe(took);
  metrics_.wal_write_bytes.add(static_cast<double>(bytes));
}

std::unique_ptr<wal::SnapFiles> snap_files(const std::string& dir, uint64_t keep,
                                           const Clock& clock, http::Metrics& metrics) {
  const auto saved = [&metrics](Duration sync, Duration all) {
    metrics.snap_fsync.observe(sync);
    metrics.snap_save.observe(all);
  };
  auto files = std::make_unique<wal::SnapFiles>(
      wal::SnapFiles::Options{.dir = dir, .keep = keep, .saved = saved}, &clock);
  files->purge();
  return files;
}

}  // namespace keelson::server
