// What the log asks of users, roles and permissions, and who may ask it.
// Source: etcd v3.7.1, server/etcdserver/apply/auth.go and backend.go.

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "apply/applier.h"
#include "apply/decode.h"
#include "base/check.h"
#include "base/errors.h"
#include "membership/version.h"
#include "proto/raft_internal.pb.h"
#include "proto/rpc.pb.h"

namespace keelson::apply {
namespace {

namespace pb = etcdserverpb;
using wire::InternalKind;

Reply reply_of(const google::protobuf::MessageLite& response, int64_t revision) {
  return Reply{absl::OkStatus(), revision, Parts::copy(response.SerializeAsString())};
}

// The role named root may do everything, whatever is stored of it.
void add_permissions(const authpb::Role& role, pb::AuthRoleGetResponse* response) {
  if (role.name() != auth::kRoot) {
    *response->mutable_perm() = role.keypermission();
    return;
  }
  authpb::Permission* all = response->add_perm();
  all->set_permtype(authpb::Permission::READWRITE);
  all->set_range_end(std::string(1, '\0'));
}

// etcd's members order grants as their own release does, whatever the cluster speaks; that is no
// fact that all members have in common, but the cluster's version is. While it is below 3.7, a
// member of before 3.7 is there or may come, and those agree with each other: it is their order
// then. Members of etcd 3.7 among them agree with neither them nor this one, which no choice here
// could mend. Until a version is decided it is our own release's.
auth::GrantOrder grant_order(std::string_view cluster_version) {
  constexpr membership::Version kByEndSince{3, 7, 0};
  const std::optional<membership::Version> version = membership::Version::parse(cluster_version);
  if (!version || *version <= membership::kLeastClusterVersion) return auth::GrantOrder::kByEnd;
  return *version < kByEndSince ? auth::GrantOrder::kAsAdded : auth::GrantOrder::kByEnd;
}

}  // namespace

void Applier::order_grants() { auth_.order_grants(grant_order(members_.view()->cluster_version)); }

bool Applier::is_auth(InternalKind kind) {
  return kind >= InternalKind::kAuthEnable && kind <= InternalKind::kAuthRoleRevokePermission;
}

// What only administrators may ask, before anything else is looked at.
absl::StatusOr<Reply> Applier::auth_request(const wire::InternalRequest& request) {
  CHECK(is_auth(request.kind));
  switch (request.kind) {
    case InternalKind::kAuthenticate:
      return authenticate(request.body);
    case InternalKind::kAuthStatus:
      return auth_status();
    case InternalKind::kAuthUserGet:
      return user_get(request.body);
    case InternalKind::kAuthRoleGet:
      return role_get(request.body);
    default:
      break;
  }
  if (absl::Status s = auth_.rules().may_administrate(who_); !s.ok()) {
    asked_ = false;
    return Reply{std::move(s)};
  }
  switch (request.kind) {
    case InternalKind::kAuthEnable:
      return changed(auth_.enable(store_.batch()));
    case InternalKind::kAuthDisable:
      auth_.disable(store_.batch());
      return changed(absl::OkStatus());
    case InternalKind::kAuthUserList:
      return user_list();
    case InternalKind::kAuthRoleList:
      return role_list();
    case InternalKind::kAuthUserAdd:
      return change<pb::AuthUserAddRequest>(request.body, &auth::AuthStore::user_add);
    case InternalKind::kAuthUserDelete:
      return change<pb::AuthUserDeleteRequest>(request.body, &auth::AuthStore::user_delete);
    case InternalKind::kAuthUserChangePassword:
      return change<pb::AuthUserChangePasswordRequest>(request.body,
                                                       &auth::AuthStore::user_change_password);
    case InternalKind::kAuthUserGrantRole:
      return change<pb::AuthUserGrantRoleRequest>(request.body, &auth::AuthStore::user_grant_role);
    case InternalKind::kAuthUserRevokeRole:
      return change<pb::AuthUserRevokeRoleRequest>(request.body,
                                                   &auth::AuthStore::user_revoke_role);
    case InternalKind::kAuthRoleAdd:
      return change<pb::AuthRoleAddRequest>(request.body, &auth::AuthStore::role_add);
    case InternalKind::kAuthRoleDelete:
      return change<pb::AuthRoleDeleteRequest>(request.body, &auth::AuthStore::role_delete);
    case InternalKind::kAuthRoleGrantPermission:
      return change<pb::AuthRoleGrantPermissionRequest>(request.body,
                                                        &auth::AuthStore::role_grant_permission);
    case InternalKind::kAuthRoleRevokePermission:
      return change<pb::AuthRoleRevokePermissionRequest>(request.body,
                                                         &auth::AuthStore::role_revoke_permission);
    default:
      return unknown(request.kind);
  }
}

template <typename Request>
absl::StatusOr<Reply> Applier::change(std::string_view body,
                                      absl::Status (auth::AuthStore::*what)(const Request&,
                                                                            backend::WriteBatch&)) {
  Request request;
  if (absl::Status s = decode_logged(body, &request); !s.ok()) return s;
  const uint64_t before = auth_.rules().revision();
  absl::Status status = (auth_.*what)(request, store_.batch());
  // Tokens and requests are held against this number: what is refused does not move it, and what
  // is done moves it once.
  const uint64_t after = auth_.rules().revision();
  CHECK(after >= before);
  CHECK(after <= before + (status.ok() ? 1 : 0));
  return changed(std::move(status));
}

// Unimplemented is no answer: of that, going on would make another state than the others have.
absl::StatusOr<Reply> Applier::changed(absl::Status status) {
  if (absl::IsUnimplemented(status)) return status;
  if (!status.ok()) return Reply{std::move(status)};
  return Reply{absl::OkStatus(), store_.revision()};
}

absl::StatusOr<Reply> Applier::authenticate(std::string_view body) {
  pb::InternalAuthenticateRequest request;
  if (absl::Status s = decode_logged(body, &request); !s.ok()) return s;
  absl::StatusOr<std::string> token =
      auth_.authenticate(request.name(), request.simple_token(), index_);
  if (!token.ok()) return Reply{token.status()};
  pb::AuthenticateResponse response;
  response.set_token(*std::move(token));
  return reply_of(response, store_.revision());
}

absl::StatusOr<Reply> Applier::auth_status() {
  pb::AuthStatusResponse response;
  response.set_enabled(auth_.rules().enabled());
  response.set_authrevision(auth_.rules().revision());
  return reply_of(response, store_.revision());
}

// Everybody may look at themselves, and at the roles they have.
absl::StatusOr<Reply> Applier::user_get(std::string_view body) {
  pb::AuthUserGetRequest request;
  if (absl::Status s = decode_logged(body, &request); !s.ok()) return s;
  absl::Status admin = auth_.rules().may_administrate(who_);
  if (!admin.ok() && request.name() != who_.user) return Reply{std::move(admin)};
  auto user = auth_.users().find(request.name());
  if (user == auth_.users().end()) return Reply{errors::UserNotFound()};
  pb::AuthUserGetResponse response;
  *response.mutable_roles() = user->second.roles();
  return reply_of(response, store_.revision());
}

absl::StatusOr<Reply> Applier::role_get(std::string_view body) {
  pb::AuthRoleGetRequest request;
  if (absl::Status s = decode_logged(body, &request); !s.ok()) return s;
  absl::Status admin = auth_.rules().may_administrate(who_);
  if (!admin.ok() && !auth_.has_role(who_.user, request.role())) return Reply{std::move(admin)};
  auto role = auth_.roles().find(request.role());
  if (role == auth_.roles().end()) return Reply{errors::RoleNotFound()};
  pb::AuthRoleGetResponse response;
  add_permissions(role->second, &response);
  return reply_of(response, store_.revision());
}

absl::StatusOr<Reply> Applier::user_list() {
  pb::AuthUserListResponse response;
  for (const auto& [name, user] : auth_.users()) response.add_users(name);
  return reply_of(response, store_.revision());
}

absl::StatusOr<Reply> Applier::role_list() {
  pb::AuthRoleListResponse response;
  for (const auto& [name, role] : auth_.roles()) response.add_roles(name);
  return reply_of(response, store_.revision());
}

}  // namespace keelson::apply
