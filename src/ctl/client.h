// ctl/client.h
//
// Client: etcd's RPCs over grpc++, the only place of keelctl that knows gRPC. One overload of
// call() per unary RPC, picked by the request's type, and the streams that the commands need.
//
// Errors: a status whose message is what etcdctl prints after "Error: ": etcd's own texts as they
//   are, "context deadline exceeded" for a timeout, anything else as
//   "rpc error: code = X desc = …".
// Threads: call() from any; each stream by one reader and one writer.
// Lifetime: streams hold the channel; a Client may go before its streams.

#pragma once

#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "ctl/options.h"
#include "proto/rpc.pb.h"

// X(service, RPC, request, response)
#define KEELCTL_UNARY_RPCS(X)                                                                   \
  X(KV, Range, RangeRequest, RangeResponse)                                                     \
  X(KV, Put, PutRequest, PutResponse)                                                           \
  X(KV, DeleteRange, DeleteRangeRequest, DeleteRangeResponse)                                   \
  X(KV, Txn, TxnRequest, TxnResponse)                                                           \
  X(KV, Compact, CompactionRequest, CompactionResponse)                                         \
  X(Lease, LeaseGrant, LeaseGrantRequest, LeaseGrantResponse)                                   \
  X(Lease, LeaseRevoke, LeaseRevokeRequest, LeaseRevokeResponse)                                \
  X(Lease, LeaseTimeToLive, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse)                    \
  X(Lease, LeaseLeases, LeaseLeasesRequest, LeaseLeasesResponse)                                \
  X(Cluster, MemberAdd, MemberAddRequest, MemberAddResponse)                                    \
  X(Cluster, MemberRemove, MemberRemoveRequest, MemberRemoveResponse)                           \
  X(Cluster, MemberUpdate, MemberUpdateRequest, MemberUpdateResponse)                           \
  X(Cluster, MemberList, MemberListRequest, MemberListResponse)                                 \
  X(Cluster, MemberPromote, MemberPromoteRequest, MemberPromoteResponse)                        \
  X(Maintenance, Alarm, AlarmRequest, AlarmResponse)                                            \
  X(Maintenance, Status, StatusRequest, StatusResponse)                                         \
  X(Maintenance, Defragment, DefragmentRequest, DefragmentResponse)                             \
  X(Maintenance, HashKV, HashKVRequest, HashKVResponse)                                         \
  X(Maintenance, MoveLeader, MoveLeaderRequest, MoveLeaderResponse)                             \
  X(Maintenance, Downgrade, DowngradeRequest, DowngradeResponse)                                \
  X(Auth, AuthEnable, AuthEnableRequest, AuthEnableResponse)                                    \
  X(Auth, AuthDisable, AuthDisableRequest, AuthDisableResponse)                                 \
  X(Auth, AuthStatus, AuthStatusRequest, AuthStatusResponse)                                    \
  X(Auth, Authenticate, AuthenticateRequest, AuthenticateResponse)                              \
  X(Auth, UserAdd, AuthUserAddRequest, AuthUserAddResponse)                                     \
  X(Auth, UserGet, AuthUserGetRequest, AuthUserGetResponse)                                     \
  X(Auth, UserList, AuthUserListRequest, AuthUserListResponse)                                  \
  X(Auth, UserDelete, AuthUserDeleteRequest, AuthUserDeleteResponse)                            \
  X(Auth, UserChangePassword, AuthUserChangePasswordRequest, AuthUserChangePasswordResponse)    \
  X(Auth, UserGrantRole, AuthUserGrantRoleRequest, AuthUserGrantRoleResponse)                   \
  X(Auth, UserRevokeRole, AuthUserRevokeRoleRequest, AuthUserRevokeRoleResponse)                \
  X(Auth, RoleAdd, AuthRoleAddRequest, AuthRoleAddResponse)                                     \
  X(Auth, RoleGet, AuthRoleGetRequest, AuthRoleGetResponse)                                     \
  X(Auth, RoleList, AuthRoleListRequest, AuthRoleListResponse)                                  \
  X(Auth, RoleDelete, AuthRoleDeleteRequest, AuthRoleDeleteResponse)                            \
  X(Auth, RoleGrantPermission, AuthRoleGrantPermissionRequest, AuthRoleGrantPermissionResponse) \
  X(Auth, RoleRevokePermission, AuthRoleRevokePermissionRequest, AuthRoleRevokePermissionResponse)

namespace keelson::ctl {

namespace pb = etcdserverpb;

// No timeout waits for ever: what etcdctl does where it passes no deadline.
using Timeout = std::optional<Nanos>;

// A stream in both directions.
template <typename Request, typename Response>
class Duplex {
 public:
  virtual ~Duplex() = default;
  virtual bool write(const Request& request) = 0;
  // False once the stream is over; finish() then says why.
  virtual bool read(Response* response) = 0;
  virtual absl::Status finish() = 0;
  virtual void cancel() = 0;  // from any thread; unblocks read()
};

// A stream of answers to one request.
template <typename Response>
class Source {
 public:
  virtual ~Source() = default;
  virtual bool read(Response* response) = 0;
  virtual absl::Status finish() = 0;
};

using WatchStream = Duplex<pb::WatchRequest, pb::WatchResponse>;
using KeepAliveStream = Duplex<pb::LeaseKeepAliveRequest, pb::LeaseKeepAliveResponse>;

class Client {
 public:
  // Opens channels (lazily connected) and, with a user name, fetches the token.
  static absl::StatusOr<std::unique_ptr<Client>> connect(const Options& options);
  virtual ~Client() = default;

#define KEELCTL_DECLARE(service, rpc, request, response) \
  virtual absl::StatusOr<pb::response> call(const pb::request& req, Timeout timeout) = 0;
  KEELCTL_UNARY_RPCS(KEELCTL_DECLARE)
#undef KEELCTL_DECLARE

  // Watches ask for a member that sees a leader ("hasleader"), as etcdctl's do.
  virtual std::unique_ptr<WatchStream> watch() = 0;
  virtual std::unique_ptr<KeepAliveStream> keep_alive(bool require_leader) = 0;
  virtual std::unique_ptr<Source<pb::SnapshotResponse>> snapshot(Timeout timeout) = 0;
  virtual std::unique_ptr<Source<pb::RangeStreamResponse>> range_stream(
      const pb::RangeRequest& request, Timeout timeout) = 0;
};

}  // namespace keelson::ctl
