// apply/auth_commands.h
//
// The commands of scenario files that are about users, roles and permissions, for tests:
//
//   auth enable|disable|status      login u=…
//   user add|delete|passwd|get|list|grant|revoke [u=…] [role=…] [no_password]
//   role add|delete|get|list|allow|deny [role=…] [perm=read|write|both] [k=…] [end=…]
//   as u=… [rev=…]     who asks from here on, by the newest rules if not told otherwise; alone:
//   nobody
//
// Threads: pure functions.

#pragma once

#include <memory>
#include <string>

#include "base/scenario.h"
#include "base/text.h"
#include "proto/raft_internal.pb.h"
#include "proto/rpc.pb.h"
#include "wire/internal_request.h"

namespace keelson::apply {

struct AuthCommand {
  wire::InternalKind kind = wire::InternalKind::kNone;  // kNone: it is none
  std::string body;
  std::unique_ptr<google::protobuf::Message> response;  // an empty one of its sort
};

template <typename Request, typename Response>
AuthCommand auth_command(wire::InternalKind kind, const Request& request, const Response&) {
  return {kind, request.SerializeAsString(), std::make_unique<Response>()};
}

inline AuthCommand user_command(const scenario::Command& c, const std::string& what) {
  namespace pb = etcdserverpb;
  using wire::InternalKind;
  const std::string name = c.text("u"), role = c.text("role");
  if (what == "add") {
    pb::AuthUserAddRequest r;
    r.set_name(name);
    r.mutable_options()->set_no_password(c.has("no_password"));
    return auth_command(InternalKind::kAuthUserAdd, r, pb::AuthUserAddResponse());
  }
  if (what == "passwd") {
    pb::AuthUserChangePasswordRequest r;
    r.set_name(name);
    return auth_command(InternalKind::kAuthUserChangePassword, r,
                        pb::AuthUserChangePasswordResponse());
  }
  if (what == "grant") {
    pb::AuthUserGrantRoleRequest r;
    r.set_user(name);
    r.set_role(role);
    return auth_command(InternalKind::kAuthUserGrantRole, r, pb::AuthUserGrantRoleResponse());
  }
  if (what == "revoke") {
    pb::AuthUserRevokeRoleRequest r;
    r.set_name(name);
    r.set_role(role);
    return auth_command(InternalKind::kAuthUserRevokeRole, r, pb::AuthUserRevokeRoleResponse());
  }
  if (what == "list") {
    return auth_command(InternalKind::kAuthUserList, pb::AuthUserListRequest(),
                        pb::AuthUserListResponse());
  }
  if (what == "delete") {
    pb::AuthUserDeleteRequest r;
    r.set_name(name);
    return auth_command(InternalKind::kAuthUserDelete, r, pb::AuthUserDeleteResponse());
  }
  pb::AuthUserGetRequest r;
  r.set_name(name);
  return auth_command(InternalKind::kAuthUserGet, r, pb::AuthUserGetResponse());
}

inline AuthCommand role_command(const scenario::Command& c, const std::string& what) {
  namespace pb = etcdserverpb;
  using wire::InternalKind;
  const std::string role = c.text("role"), perm = c.text("perm");
  if (what == "add") {
    pb::AuthRoleAddRequest r;
    r.set_name(role);
    return auth_command(InternalKind::kAuthRoleAdd, r, pb::AuthRoleAddResponse());
  }
  if (what == "allow") {
    pb::AuthRoleGrantPermissionRequest r;
    r.set_name(role);
    r.mutable_perm()->set_permtype(perm == "read"    ? authpb::Permission::READ
                                   : perm == "write" ? authpb::Permission::WRITE
                                                     : authpb::Permission::READWRITE);
    r.mutable_perm()->set_key(c.text("k"));
    r.mutable_perm()->set_range_end(c.text("end"));
    return auth_command(InternalKind::kAuthRoleGrantPermission, r,
                        pb::AuthRoleGrantPermissionResponse());
  }
  if (what == "deny") {
    pb::AuthRoleRevokePermissionRequest r;
    r.set_role(role);
    r.set_key(c.text("k"));
    r.set_range_end(c.text("end"));
    return auth_command(InternalKind::kAuthRoleRevokePermission, r,
                        pb::AuthRoleRevokePermissionResponse());
  }
  if (what == "list") {
    return auth_command(InternalKind::kAuthRoleList, pb::AuthRoleListRequest(),
                        pb::AuthRoleListResponse());
  }
  if (what == "delete") {
    pb::AuthRoleDeleteRequest r;
    r.set_role(role);
    return auth_command(InternalKind::kAuthRoleDelete, r, pb::AuthRoleDeleteResponse());
  }
  pb::AuthRoleGetRequest r;
  r.set_role(role);
  return auth_command(InternalKind::kAuthRoleGet, r, pb::AuthRoleGetResponse());
}

inline AuthCommand auth_command_of(const scenario::Command& c) {
  namespace pb = etcdserverpb;
  using wire::InternalKind;
  if (c.name == "user") return user_command(c, c.word(0));
  if (c.name == "role") return role_command(c, c.word(0));
  if (c.name == "login") {
    pb::InternalAuthenticateRequest r;
    r.set_name(c.text("u"));
    r.set_simple_token("letters");
    return auth_command(InternalKind::kAuthenticate, r, pb::AuthenticateResponse());
  }
  if (c.name != "auth") return {};
  if (c.word(0) == "enable") {
    return auth_command(InternalKind::kAuthEnable, pb::AuthEnableRequest(),
                        pb::AuthEnableResponse());
  }
  if (c.word(0) == "disable") {
    return auth_command(InternalKind::kAuthDisable, pb::AuthDisableRequest(),
                        pb::AuthDisableResponse());
  }
  return auth_command(InternalKind::kAuthStatus, pb::AuthStatusRequest(), pb::AuthStatusResponse());
}

}  // namespace keelson::apply
