// wire/internal_request.h
//
// etcdserverpb.InternalRaftRequest, the payload of a normal log entry, built around a request that
// is already encoded (the client's own bytes) and taken apart without parsing it: the request is
// neither decoded nor encoded between the client's socket and the state machine.
//
// Format: the request under its field number, the header (request id, user, auth revision) under
// 100, in number order as Go's marshallers have it (etcd v3.5 and v3.7.1 alike).
// Threads: pure functions.

#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/bytes.h"

namespace keelson::wire {

// Which request; the value is its field number in InternalRaftRequest.
enum class InternalKind : uint32_t {
  kNone = 0,  // only a header: nothing is asked
  kV2 = 2,    // etcd 3.4 and before, in its own state: members' attributes, the cluster version
  kRange = 3,
  kPut = 4,
  kDeleteRange = 5,
  kTxn = 6,
  kCompaction = 7,
  kLeaseGrant = 8,
  kLeaseRevoke = 9,
  kAlarm = 10,
  kLeaseCheckpoint = 11,
  kAuthEnable = 1000,
  kAuthDisable = 1011,
  kAuthenticate = 1012,
  kAuthStatus = 1013,
  kAuthUserAdd = 1100,
  kAuthUserDelete = 1101,
  kAuthUserGet = 1102,
  kAuthUserChangePassword = 1103,
  kAuthUserGrantRole = 1104,
  kAuthUserRevokeRole = 1105,
  kAuthUserList = 1106,
  kAuthRoleList = 1107,
  kAuthRoleAdd = 1200,
  kAuthRoleDelete = 1201,
  kAuthRoleGet = 1202,
  kAuthRoleGrantPermission = 1203,
  kAuthRoleRevokePermission = 1204,
  kClusterVersionSet = 1300,
  kClusterMemberAttrSet = 1301,
  kDowngradeInfoSet = 1302,
  kDowngradeVersionTest = 9900,
};

// "put", "txn", …: the field's name in the schema; "unknown" for other numbers.
std::string_view name_of(InternalKind kind);

// The payload of an entry. `encoded_request` is copied once, into it.
// `username` and `auth_revision` are "" and 0 while nobody is logged in.
Bytes wrap_internal(uint64_t request_id, std::string_view username, uint64_t auth_revision,
                    InternalKind kind, std::string_view encoded_request);

// The request in such a payload, sharing its memory. REQUIRES: as it was wrapped, `size` being the
// encoded request's; `kind` is a request of the KV service.
Bytes wrapped_request(const Bytes& payload, InternalKind kind, size_t size);

// The parts of such a payload; the views point into it.
struct InternalRequest {
  uint64_t id = 0;  // the request's own (what etcd 2 wrote) if there is one, else the header's
  std::string_view username;
  uint64_t auth_revision = 0;
  InternalKind kind = InternalKind::kNone;
  std::string_view body;  // the encoded request
};

// InvalidArgument when it is not such a message. A field that we do not know (a newer etcd's
// request) comes out as that kind, so that the caller can refuse it by number. There is at most one
// request in what etcd and we write; of several, the lowest number counts.
// etcd up to 3.5 also writes bare etcdserverpb.Request payloads (a member's attributes, the cluster
// version, as "PUT <path>"): they come out as kV2 with the whole payload as the body.
absl::StatusOr<InternalRequest> unwrap_internal(std::string_view payload);

}  // namespace keelson::wire
