#include "wire/internal_request.h"

#include "absl/status/status.h"
#include "base/check.h"
#include "base/protobuf.h"

namespace keelson::wire {

namespace {

constexpr uint32_t kIdField = 1;
constexpr uint32_t kHeaderField = 100;
// No schema has a field beyond, though gogo reads over one: it is no kind of request.
constexpr uint32_t kLastField = (uint32_t{1} << 29) - 1;

enum HeaderField : uint32_t { kHeaderId = 1, kHeaderUser = 2, kHeaderAuthRevision = 3 };

absl::Status malformed() {
  return absl::InvalidArgumentError("malformed etcdserverpb.InternalRaftRequest");
}

absl::Status read_header(std::string_view bytes, uint64_t* id, InternalRequest* out) {
  pb::LoggedReader reader(bytes);
  pb::Field field;
  while (reader.next(&field)) {
    if (field.number > kHeaderAuthRevision) continue;
    if (field.type != (field.number == kHeaderUser ? pb::kBytes : pb::kVarint)) return malformed();
    if (field.number == kHeaderId) *id = field.value;
    if (field.number == kHeaderUser) out->username = field.bytes;
    if (field.number == kHeaderAuthRevision) out->auth_revision = field.value;
  }
  return reader.ok() ? absl::OkStatus() : malformed();
}

// Whether `payload` is a bare request of etcd's first state machine: id, method, path, ….
bool is_bare_v2(std::string_view payload, uint64_t* id) {
  pb::LoggedReader reader(payload);
  pb::Field field;
  if (!reader.next(&field) || field.number != 1 || field.type != pb::kVarint) return false;
  *id = field.value;
  if (!reader.next(&field) || field.number != 2 || field.type != pb::kBytes) return false;
  const std::string_view method = field.bytes;
  const bool known = method == "PUT" || method == "POST" || method == "DELETE" ||
                     method == "QGET" || method == "SYNC";
  while (reader.next(&field)) {
  }
  return known && reader.ok();
}

absl::StatusOr<InternalRequest> unwrap_fields(std::string_view payload) {
  InternalRequest request;
  uint64_t own_id = 0;
  uint64_t header_id = 0;
  pb::LoggedReader reader(payload);
  pb::Field field;
  while (reader.next(&field)) {
    if (field.number > kLastField) continue;
    if (field.number == kIdField) {
      if (field.type != pb::kVarint) return malformed();
      own_id = field.value;
    } else if (field.type != pb::kBytes) {
      return malformed();  // every other field is a message
    } else if (field.number == kHeaderField) {
      absl::Status status = read_header(field.bytes, &header_id, &request);
      if (!status.ok()) return status;
    } else if (request.kind == InternalKind::kNone ||
               field.number <= static_cast<uint32_t>(request.kind)) {
      request.kind = static_cast<InternalKind>(field.number);
      request.body = field.bytes;
    }
  }
  if (!reader.ok()) return malformed();
  request.id = own_id != 0 ? own_id : header_id;
  return request;
}

}  // namespace

Bytes wrap_internal(uint64_t request_id, std::string_view username, uint64_t auth_revision,
                    InternalKind kind, std::string_view encoded_request) {
  const uint32_t number = static_cast<uint32_t>(kind);
  size_t header_size = pb::varint_field_size(kHeaderId, request_id) +
                       pb::varint_field_size(kHeaderAuthRevision, auth_revision);
  if (!username.empty()) header_size += pb::bytes_field_size(kHeaderUser, username.size());
  size_t size = pb::bytes_field_size(kHeaderField, header_size);
  if (kind != InternalKind::kNone) size += pb::bytes_field_size(number, encoded_request.size());

  return Bytes::build(size, [&](char* out) {
    if (number != 0 && number < kHeaderField) {
      out = pb::write_bytes_field(out, number, encoded_request);
    }
    out = pb::write_bytes_head(out, kHeaderField, header_size);
    out = pb::write_varint_field(out, kHeaderId, request_id);
    if (!username.empty()) out = pb::write_bytes_field(out, kHeaderUser, username);
    out = pb::write_varint_field(out, kHeaderAuthRevision, auth_revision);
    if (number > kHeaderField) pb::write_bytes_field(out, number, encoded_request);
  });
}

Bytes wrapped_request(const Bytes& payload, InternalKind kind, size_t size) {
  const uint32_t number = static_cast<uint32_t>(kind);
  CHECK(number != 0);
  CHECK(number < kHeaderField);
  return payload.slice(pb::bytes_field_size(number, size) - size, size);
}

absl::StatusOr<InternalRequest> unwrap_internal(std::string_view payload) {
  absl::StatusOr<InternalRequest> request = unwrap_fields(payload);
  uint64_t id = 0;
  if ((request.ok() && request->kind != InternalKind::kV2) || !is_bare_v2(payload, &id)) {
    return request;
  }
  InternalRequest bare;
  bare.id = id;
  bare.kind = InternalKind::kV2;
  bare.body = payload;
  return bare;
}

std::string_view name_of(InternalKind kind) {
  switch (kind) {
    case InternalKind::kNone:
      return "none";
    case InternalKind::kV2:
      return "v2";
    case InternalKind::kRange:
      return "range";
    case InternalKind::kPut:
      return "put";
    case InternalKind::kDeleteRange:
      return "delete_range";
    case InternalKind::kTxn:
      return "txn";
    case InternalKind::kCompaction:
      return "compaction";
    case InternalKind::kLeaseGrant:
      return "lease_grant";
    case InternalKind::kLeaseRevoke:
      return "lease_revoke";
    case InternalKind::kAlarm:
      return "alarm";
    case InternalKind::kLeaseCheckpoint:
      return "lease_checkpoint";
    case InternalKind::kAuthEnable:
      return "auth_enable";
    case InternalKind::kAuthDisable:
      return "auth_disable";
    case InternalKind::kAuthenticate:
      return "authenticate";
    case InternalKind::kAuthStatus:
      return "auth_status";
    case InternalKind::kAuthUserAdd:
      return "auth_user_add";
    case InternalKind::kAuthUserDelete:
      return "auth_user_delete";
    case InternalKind::kAuthUserGet:
      return "auth_user_get";
    case InternalKind::kAuthUserChangePassword:
      return "auth_user_change_password";
    case InternalKind::kAuthUserGrantRole:
      return "auth_user_grant_role";
    case InternalKind::kAuthUserRevokeRole:
      return "auth_user_revoke_role";
    case InternalKind::kAuthUserList:
      return "auth_user_list";
    case InternalKind::kAuthRoleList:
      return "auth_role_list";
    case InternalKind::kAuthRoleAdd:
      return "auth_role_add";
    case InternalKind::kAuthRoleDelete:
      return "auth_role_delete";
    case InternalKind::kAuthRoleGet:
      return "auth_role_get";
    case InternalKind::kAuthRoleGrantPermission:
      return "auth_role_grant_permission";
    case InternalKind::kAuthRoleRevokePermission:
      return "auth_role_revoke_permission";
    case InternalKind::kClusterVersionSet:
      return "cluster_version_set";
    case InternalKind::kClusterMemberAttrSet:
      return "cluster_member_attr_set";
    case InternalKind::kDowngradeInfoSet:
      return "downgrade_info_set";
    case InternalKind::kDowngradeVersionTest:
      return "downgrade_version_test";
  }
  return "unknown";
}

}  // namespace keelson::wire
