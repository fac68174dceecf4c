#include "http/grpc_metrics.h"

#include <array>
#include <map>

#include "base/check.h"
#include "base/text.h"
#include "http/families.h"

namespace keelson::http {
namespace {

using enum CallType;

constexpr GrpcMethod kMethods[] = {
    {"etcdserverpb.KV", "Range", kUnary},
    {"etcdserverpb.KV", "RangeStream", kServerStream},
    {"etcdserverpb.KV", "Put", kUnary},
    {"etcdserverpb.KV", "DeleteRange", kUnary},
    {"etcdserverpb.KV", "Txn", kUnary},
    {"etcdserverpb.KV", "Compact", kUnary},
    {"etcdserverpb.Watch", "Watch", kBidiStream},
    {"etcdserverpb.Lease", "LeaseGrant", kUnary},
    {"etcdserverpb.Lease", "LeaseRevoke", kUnary},
    {"etcdserverpb.Lease", "LeaseKeepAlive", kBidiStream},
    {"etcdserverpb.Lease", "LeaseTimeToLive", kUnary},
    {"etcdserverpb.Lease", "LeaseLeases", kUnary},
    {"etcdserverpb.Cluster", "MemberAdd", kUnary},
    {"etcdserverpb.Cluster", "MemberRemove", kUnary},
    {"etcdserverpb.Cluster", "MemberUpdate", kUnary},
    {"etcdserverpb.Cluster", "MemberList", kUnary},
    {"etcdserverpb.Cluster", "MemberPromote", kUnary},
    {"etcdserverpb.Maintenance", "Alarm", kUnary},
    {"etcdserverpb.Maintenance", "Status", kUnary},
    {"etcdserverpb.Maintenance", "Defragment", kUnary},
    {"etcdserverpb.Maintenance", "Hash", kUnary},
    {"etcdserverpb.Maintenance", "HashKV", kUnary},
    {"etcdserverpb.Maintenance", "Snapshot", kServerStream},
    {"etcdserverpb.Maintenance", "MoveLeader", kUnary},
    {"etcdserverpb.Maintenance", "Downgrade", kUnary},
    {"etcdserverpb.Auth", "AuthEnable", kUnary},
    {"etcdserverpb.Auth", "AuthDisable", kUnary},
    {"etcdserverpb.Auth", "AuthStatus", kUnary},
    {"etcdserverpb.Auth", "Authenticate", kUnary},
    {"etcdserverpb.Auth", "UserAdd", kUnary},
    {"etcdserverpb.Auth", "UserGet", kUnary},
    {"etcdserverpb.Auth", "UserList", kUnary},
    {"etcdserverpb.Auth", "UserDelete", kUnary},
    {"etcdserverpb.Auth", "UserChangePassword", kUnary},
    {"etcdserverpb.Auth", "UserGrantRole", kUnary},
    {"etcdserverpb.Auth", "UserRevokeRole", kUnary},
    {"etcdserverpb.Auth", "RoleAdd", kUnary},
    {"etcdserverpb.Auth", "RoleGet", kUnary},
    {"etcdserverpb.Auth", "RoleList", kUnary},
    {"etcdserverpb.Auth", "RoleDelete", kUnary},
    {"etcdserverpb.Auth", "RoleGrantPermission", kUnary},
    {"etcdserverpb.Auth", "RoleRevokePermission", kUnary},
    {"grpc.health.v1.Health", "Check", kUnary},
    {"grpc.health.v1.Health", "List", kUnary},
    {"grpc.health.v1.Health", "Watch", kServerStream},
    {"v3electionpb.Election", "Campaign", kUnary},
    {"v3electionpb.Election", "Proclaim", kUnary},
    {"v3electionpb.Election", "Leader", kUnary},
    {"v3electionpb.Election", "Observe", kServerStream},
    {"v3electionpb.Election", "Resign", kUnary},
    {"v3lockpb.Lock", "Lock", kUnary},
    {"v3lockpb.Lock", "Unlock", kUnary},
};

constexpr std::array<std::string_view, GrpcMetrics::kCodes> kCodeLabels = {
    "OK",       "Canceled",       "Unknown",          "InvalidArgument",   "DeadlineExceeded",
    "NotFound", "AlreadyExists",  "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
    "Aborted",  "OutOfRange",     "Unimplemented",    "Internal",          "Unavailable",
    "DataLoss", "Unauthenticated"};

// go-grpc-prometheus's default buckets, in seconds.
const std::vector<double>& handling_bounds() {
  static const std::vector<double> bounds = {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10};
  return bounds;
}

Labels labels_of(const GrpcMethod& method) {
  return {{"grpc_type", std::string(call_type_label(method.type))},
          {"grpc_service", std::string(method.service)},
          {"grpc_method", std::string(method.method)}};
}

// etcd registers these services after it has set its rows to zero, so theirs come with first use.
bool shown_before_use(const GrpcMethod& method) { return !method.service.starts_with("v3"); }

}  // namespace

std::string_view call_type_label(CallType type) {
  switch (type) {
    case kUnary:
      return "unary";
    case kClientStream:
      return "client_stream";
    case kServerStream:
      return "server_stream";
    case kBidiStream:
      return "bidi_stream";
  }
  return "unary";
}

std::string_view grpc_code_label(int code) {
  return code >= 0 && code < GrpcMetrics::kCodes ? kCodeLabels[static_cast<size_t>(code)]
                                                 : "Unknown";
}

std::span<const GrpcMethod> grpc_methods() { return kMethods; }

GrpcMetrics::GrpcMetrics(bool handling_time) : cells_(std::size(kMethods) * kColumns) {
  if (!handling_time) return;
  for (size_t i = 0; i < std::size(kMethods); ++i) {
    handling_.push_back(std::make_unique<Histogram>(handling_bounds(), 1e9));
  }
}

std::optional<GrpcMetrics::Method> GrpcMetrics::find(std::string_view path) const {
  static const auto by_path = [] {
    std::map<std::string, Method, std::less<>> map;
    for (Method m = 0; m < std::size(kMethods); ++m) {
      map[cat("/", kMethods[m].service, "/", kMethods[m].method)] = m;
    }
    return map;
  }();
  auto found = by_path.find(path);
  if (found == by_path.end()) return std::nullopt;
  return found->second;
}

void GrpcMetrics::handled(Method m, int code, Duration took) {
  CHECK(m < std::size(kMethods));
  constexpr int kUnknown = 2;
  if (code < 0 || code >= kCodes) code = kUnknown;
  cells_.add(cell(m, kHandled + static_cast<size_t>(code)), 1);
  if (!handling_.empty()) handling_[m]->observe(took);
}

void GrpcMetrics::collect(Families& out) const {
  const auto each = [this](auto&& visit) {
    for (Method m = 0; m < std::size(kMethods); ++m) {
      if (shown_before_use(kMethods[m]) || cells_.sum(cell(m, kStarted)) > 0) visit(m);
    }
  };
  const auto value = [this](Method m, size_t column) {
    return static_cast<double>(cells_.sum(cell(m, column)));
  };
  each([&](Method m) {
    out.counter("grpc_server_started_total", "Calls that have begun.", value(m, kStarted),
                labels_of(kMethods[m]));
  });
  each([&](Method m) {
    out.counter("grpc_server_msg_received_total", "Messages received of clients.",
                value(m, kReceived), labels_of(kMethods[m]));
  });
  each([&](Method m) {
    out.counter("grpc_server_msg_sent_total", "Messages sent to clients.", value(m, kSent),
                labels_of(kMethods[m]));
  });
  each([&](Method m) {
    for (size_t code = 0; code < kCodes; ++code) {
      Labels labels = labels_of(kMethods[m]);
      labels.emplace_back("grpc_code", std::string(kCodeLabels[code]));
      out.counter("grpc_server_handled_total", "Calls that have ended, by status code.",
                  value(m, kHandled + code), std::move(labels));
    }
  });
  if (handling_.empty()) return;
  each([&](Method m) {
    out.histogram("grpc_server_handling_seconds", "Time from a call's beginning to its end.",
                  *handling_[m], labels_of(kMethods[m]));
  });
}

}  // namespace keelson::http
