// base/errors.h
//
// Every error that etcd's clients can meet, in one table: gRPC code and exact text (source: etcd
// v3.7.1, api/v3rpc/rpctypes/error.go). Clients match these texts literally, so they are spelled
// nowhere else. `errors::EmptyKey()` makes the status.

#pragma once

#include "absl/status/status.h"

// X(name, absl code, text)
#define KEELSON_ETCD_ERRORS(X)                                                                \
  X(EmptyKey, kInvalidArgument, "etcdserver: key is not provided")                            \
  X(KeyNotFound, kInvalidArgument, "etcdserver: key not found")                               \
  X(ValueProvided, kInvalidArgument, "etcdserver: value is provided")                         \
  X(LeaseProvided, kInvalidArgument, "etcdserver: lease is provided")                         \
  X(TooManyOps, kInvalidArgument, "etcdserver: too many operations in txn request")           \
  X(DuplicateKey, kInvalidArgument, "etcdserver: duplicate key given in txn request")         \
  X(InvalidClientAPIVersion, kInvalidArgument, "etcdserver: invalid client api version")      \
  X(InvalidSortOption, kInvalidArgument, "etcdserver: invalid sort option")                   \
  X(Compacted, kOutOfRange, "etcdserver: mvcc: required revision has been compacted")         \
  X(FutureRev, kOutOfRange, "etcdserver: mvcc: required revision is a future revision")       \
  X(NoSpace, kResourceExhausted, "etcdserver: mvcc: database space exceeded")                 \
  X(LeaseNotFound, kNotFound, "etcdserver: requested lease not found")                        \
  X(LeaseExist, kFailedPrecondition, "etcdserver: lease already exists")                      \
  X(LeaseTTLTooLarge, kOutOfRange, "etcdserver: too large lease TTL")                         \
  X(WatchCanceled, kCancelled, "etcdserver: watch canceled")                                  \
  X(MemberExist, kFailedPrecondition, "etcdserver: member ID already exist")                  \
  X(PeerURLExist, kFailedPrecondition, "etcdserver: Peer URLs already exists")                \
  X(MemberNotEnoughStarted, kFailedPrecondition,                                              \
    "etcdserver: re-configuration failed due to not enough started members")                  \
  X(MemberBadURLs, kInvalidArgument, "etcdserver: given member URLs are invalid")             \
  X(MemberNotFound, kNotFound, "etcdserver: member not found")                                \
  X(MemberNotLearner, kFailedPrecondition, "etcdserver: can only promote a learner member")   \
  X(LearnerNotReady, kFailedPrecondition,                                                     \
    "etcdserver: can only promote a learner member which is in sync with leader")             \
  X(TooManyLearners, kFailedPrecondition, "etcdserver: too many learner members in cluster")  \
  X(ClusterIDMismatch, kFailedPrecondition, "etcdserver: cluster ID mismatch")                \
  X(RequestTooLarge, kInvalidArgument, "etcdserver: request is too large")                    \
  X(RequestTooManyRequests, kResourceExhausted, "etcdserver: too many requests")              \
  X(RootUserNotExist, kFailedPrecondition, "etcdserver: root user does not exist")            \
  X(RootRoleNotExist, kFailedPrecondition, "etcdserver: root user does not have root role")   \
  X(UserAlreadyExist, kFailedPrecondition, "etcdserver: user name already exists")            \
  X(UserEmpty, kInvalidArgument, "etcdserver: user name is empty")                            \
  X(UserNotFound, kFailedPrecondition, "etcdserver: user name not found")                     \
  X(RoleAlreadyExist, kFailedPrecondition, "etcdserver: role name already exists")            \
  X(RoleNotFound, kFailedPrecondition, "etcdserver: role name not found")                     \
  X(RoleEmpty, kInvalidArgument, "etcdserver: role name is empty")                            \
  X(AuthFailed, kInvalidArgument,                                                             \
    "etcdserver: authentication failed, invalid user ID or password")                         \
  X(PermissionNotGiven, kInvalidArgument, "etcdserver: permission not given")                 \
  X(PermissionDenied, kPermissionDenied, "etcdserver: permission denied")                     \
  X(RoleNotGranted, kFailedPrecondition, "etcdserver: role is not granted to the user")       \
  X(PermissionNotGranted, kFailedPrecondition,                                                \
    "etcdserver: permission is not granted to the role")                                      \
  X(AuthNotEnabled, kFailedPrecondition, "etcdserver: authentication is not enabled")         \
  X(InvalidAuthToken, kUnauthenticated, "etcdserver: invalid auth token")                     \
  X(InvalidAuthMgmt, kInvalidArgument, "etcdserver: invalid auth management")                 \
  X(AuthOldRevision, kInvalidArgument, "etcdserver: revision of auth store is old")           \
  X(NoLeader, kUnavailable, "etcdserver: no leader")                                          \
  X(NotLeader, kFailedPrecondition, "etcdserver: not leader")                                 \
  X(LeaderChanged, kUnavailable, "etcdserver: leader changed")                                \
  X(NotCapable, kFailedPrecondition, "etcdserver: not capable")                               \
  X(Stopped, kUnavailable, "etcdserver: server stopped")                                      \
  X(Timeout, kUnavailable, "etcdserver: request timed out")                                   \
  X(TimeoutDueToLeaderFail, kUnavailable,                                                     \
    "etcdserver: request timed out, possibly due to previous leader failure")                 \
  X(TimeoutDueToConnectionLost, kUnavailable,                                                 \
    "etcdserver: request timed out, possibly due to connection lost")                         \
  X(TimeoutWaitAppliedIndex, kUnavailable,                                                    \
    "etcdserver: request timed out, waiting for the applied index took too long")             \
  X(Unhealthy, kUnavailable, "etcdserver: unhealthy cluster")                                 \
  X(Corrupt, kDataLoss, "etcdserver: corrupt cluster")                                        \
  X(NotSupportedForLearner, kFailedPrecondition, "etcdserver: rpc not supported for learner") \
  X(BadLeaderTransferee, kFailedPrecondition, "etcdserver: bad leader transferee")            \
  X(WrongDowngradeVersionFormat, kInvalidArgument,                                            \
    "etcdserver: wrong downgrade target version format")                                      \
  X(InvalidDowngradeTargetVersion, kInvalidArgument,                                          \
    "etcdserver: invalid downgrade target version")                                           \
  X(ClusterVersionUnavailable, kFailedPrecondition,                                           \
    "etcdserver: cluster version not found during downgrade")                                 \
  X(DowngradeInProcess, kFailedPrecondition,                                                  \
    "etcdserver: cluster has a downgrade job in progress")                                    \
  X(NoInflightDowngrade, kFailedPrecondition, "etcdserver: no inflight downgrade job")        \
  X(Canceled, kCancelled, "etcdserver: request canceled")                                     \
  X(DeadlineExceeded, kDeadlineExceeded, "etcdserver: context deadline exceeded")

namespace keelson::errors {

#define KEELSON_DECLARE_ERROR(name, code, text) absl::Status name();
KEELSON_ETCD_ERRORS(KEELSON_DECLARE_ERROR)
#undef KEELSON_DECLARE_ERROR

// etcd's answer to a request over --max-request-bytes at the gRPC layer.
absl::Status MessageTooLarge(size_t got, size_t max);

}  // namespace keelson::errors
