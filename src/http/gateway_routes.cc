#include "http/gateway_routes.h"

#include <algorithm>
#include <optional>

#include "absl/strings/ascii.h"
#include "base/text.h"
#include "proto/rpc.pb.h"
#include "proto/v3election.pb.h"
#include "proto/v3lock.pb.h"

namespace keelson::http {
namespace {

using google::protobuf::MethodDescriptor;

// A method that is not at the path of the rule, or nowhere (null), or at another path beside it.
struct Exception {
  std::string_view method;
  const char* path;
  bool beside = false;
};
constexpr Exception kExceptions[] = {
    {"etcdserverpb.KV.Compact", "/v3/kv/compaction"},
    {"etcdserverpb.KV.RangeStream", nullptr},
    {"etcdserverpb.Watch.Watch", "/v3/watch"},
    {"etcdserverpb.Lease.LeaseRevoke", "/v3/kv/lease/revoke", true},
    {"etcdserverpb.Lease.LeaseTimeToLive", "/v3/kv/lease/timetolive", true},
    {"etcdserverpb.Lease.LeaseLeases", "/v3/kv/lease/leases", true},
    {"etcdserverpb.Maintenance.MoveLeader", "/v3/maintenance/transfer-leadership"},
    {"etcdserverpb.Auth.UserChangePassword", "/v3/auth/user/changepw"},
    {"etcdserverpb.Auth.UserGrantRole", "/v3/auth/user/grant"},
    {"etcdserverpb.Auth.UserRevokeRole", "/v3/auth/user/revoke"},
    {"etcdserverpb.Auth.RoleGrantPermission", "/v3/auth/role/grant"},
    {"etcdserverpb.Auth.RoleRevokePermission", "/v3/auth/role/revoke"},
};

// What a method may begin with that is a part of the path of its own.
constexpr std::string_view kNouns[] = {"Member", "User", "Role"};

// Takes the word from the front of a name of several.
bool take_word(std::string_view* name, std::string_view word) {
  if (!name->starts_with(word) || name->size() == word.size()) return false;
  const char next = (*name)[word.size()];
  if (next < 'A' || next > 'Z') return false;
  name->remove_prefix(word.size());
  return true;
}

std::string lower_case(std::string_view text) { return absl::AsciiStrToLower(to_absl(text)); }

// Lease.LeaseGrant is at /v3/lease/grant, Auth.UserAdd at /v3/auth/user/add.
std::string path_by_rule(const MethodDescriptor& method) {
  const std::string_view service = method.service()->name();
  std::string_view name = method.name();
  take_word(&name, service);
  std::string path = cat("/v3/", lower_case(service), "/");
  for (std::string_view noun : kNouns) {
    if (take_word(&name, noun)) path += lower_case(noun) + "/";
  }
  return path + lower_case(name);
}

std::vector<std::string> paths_of(const MethodDescriptor& method) {
  std::vector<std::string> paths = {path_by_rule(method)};
  for (const Exception& exception : kExceptions) {
    if (exception.method != method.full_name()) continue;
    if (!exception.beside) paths.clear();
    if (exception.path) paths.emplace_back(exception.path);
  }
  return paths;
}

}  // namespace

std::vector<GatewayRoute> gateway_routes(const net::Router& methods) {
  std::vector<GatewayRoute> routes;
  for (const google::protobuf::FileDescriptor* file :
       {etcdserverpb::RangeRequest::descriptor()->file(),
        v3lockpb::LockRequest::descriptor()->file(),
        v3electionpb::CampaignRequest::descriptor()->file()}) {
    for (int s = 0; s < file->service_count(); ++s) {
      for (int m = 0; m < file->service(s)->method_count(); ++m) {
        const MethodDescriptor* method = file->service(s)->method(m);
        const auto* entry = methods.table().find_method(
            cat("/", file->service(s)->full_name(), "/", method->name()));
        for (std::string& path : paths_of(*method)) {
          routes.push_back({std::move(path), method, entry});
        }
      }
    }
  }
  std::sort(routes.begin(), routes.end(),
            [](const GatewayRoute& a, const GatewayRoute& b) { return a.path < b.path; });
  return routes;
}

}  // namespace keelson::http
